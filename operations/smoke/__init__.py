"""Test an AWS account in one command: deploy, run, check and remove a deployment of its own."""
