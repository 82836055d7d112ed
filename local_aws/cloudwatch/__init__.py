"""CloudWatch: alarms with dimensions and missing data, saved log queries, and the logs of job runs.

ministack might take upstream: `alarms`, `log_queries`.
"""
