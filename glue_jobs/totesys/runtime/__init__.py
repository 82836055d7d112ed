"""What every job run has: arguments, what a person asks of the run, logs, metrics, alerts, secrets, shipped packages, the Spark session."""
