"""The contracts: what is registered, what differs from it, and the data dictionary that is made from them."""
