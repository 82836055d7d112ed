"""What the scripts do, one module per command: they speak to AWS and to the two databases, and import no job's code beyond contracts."""
