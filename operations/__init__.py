"""What people run, by concern. `cli` parses, calls and prints; the other folders do the work and know no command."""
