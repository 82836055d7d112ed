"""The commands of scripts/totesys, one module each: they parse, call and print."""
