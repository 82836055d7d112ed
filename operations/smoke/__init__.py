"""Proves a real account in one command: deploys, runs, checks and removes a deployment of its own."""
