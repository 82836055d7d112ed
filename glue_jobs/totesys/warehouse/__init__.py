"""The PostgreSQL warehouse: its tables, views, sessions, and what it says it holds. Knows no S3 and no Spark."""
