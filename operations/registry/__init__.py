"""The registered contracts, what differs from them, and the data dictionary."""
