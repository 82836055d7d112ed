"""Plan, deploy, check and destroy a deployment: stacks, parameters, code, credentials, tables and views."""
