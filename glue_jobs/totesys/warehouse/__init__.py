"""The PostgreSQL warehouse: its tables, views and sessions, and how far it is loaded. It knows no S3 and no Spark."""
