"""One module per command of scripts/totesys. A command parses, calls and prints."""
