"""The schedule by which ingest runs: paused, resumed, and respected by a deploy."""
