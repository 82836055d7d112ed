"""What every job run uses: arguments, the run request, logs, metrics, alerts, secrets, shipped packages, the Spark session."""
