"""PostgreSQL on this machine: servers, totesys with data that behaves like the real one, and the local stack. Nothing here runs on AWS."""
