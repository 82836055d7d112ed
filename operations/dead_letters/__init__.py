"""Held tables, dead letters and waiting rows: shown, read again, discarded."""
