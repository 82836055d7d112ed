"""A deployment at a glance. It looks and never changes anything: at AWS, and at the warehouse where that can be asked."""
