"""The demonstration of the whole pipeline, with a report."""
