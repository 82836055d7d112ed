"""Shows the registered contracts, what changed between their versions and at the source, and drafts the next one."""
