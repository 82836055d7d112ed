"""PostgreSQL on this machine: servers, a totesys with realistic data, and the local stack. Nothing here runs on AWS."""
