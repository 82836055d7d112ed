"""Deploys the pipeline: stacks, code, credentials, catalog tables, and the proof that all of it is there."""
