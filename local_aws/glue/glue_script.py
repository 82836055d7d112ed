"""Runs a job's script in Glue's own environment: `python glue_script.py FOLDERS SCRIPT ARGUMENT...`. It imports nothing of this project.

Three things are as on Glue, and each has surprised a job:
- AWS's SDK of that environment is imported before the script's first line.
- FOLDERS (wheels that the job ships, separated by colons) come last on the path, behind the environment's own packages.
- Any SystemExit is a failure, also one with code 0.
"""

import os
import runpy
import sys

import boto3  # noqa: F401  # Glue fetches the script with it

FOLDERS, SCRIPT = sys.argv[1], sys.argv[2]

sys.path[0] = os.path.dirname(SCRIPT)  # noqa: PTH120  # not this file's folder
sys.path += filter(None, FOLDERS.split(os.pathsep))
sys.argv[:] = sys.argv[2:]
try:
    runpy.run_path(SCRIPT, run_name="__main__")
except SystemExit as ended:
    if ended.code in (0, None):
        sys.exit(f"SystemExit: {ended.code}: Glue counts a job that exits as failed, whatever the code. Let the script end by itself")
    raise
