"""One deployment: its stacks, parameters, code, credentials, tables and views; deployed, planned, proved and destroyed."""
