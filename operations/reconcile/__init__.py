"""Compare the warehouse with the source, inside the databases."""
