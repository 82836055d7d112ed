"""Removes a deployment, and nothing else. It knows stacks and what is in them; no bucket, database or group is found by a guessed name."""
