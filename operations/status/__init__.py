"""Show a deployment at a glance, from AWS and from the warehouse if it can be reached. Nothing is changed."""
