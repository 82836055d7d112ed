"""A deployment at a glance. It looks and never changes anything; what it shows comes from AWS, and one count from the warehouse."""
