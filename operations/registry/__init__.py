"""The registered contracts: their versions, what changed between them and at the source, and the draft of the next one."""
