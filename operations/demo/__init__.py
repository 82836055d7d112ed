"""The whole pipeline as one demonstration, with a report."""
