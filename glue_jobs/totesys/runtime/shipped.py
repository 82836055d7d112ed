"""Import the packages that we ship, instead of Glue's. This module imports only the standard library."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CHECKED = ("boto3", "botocore")  # Glue has its own, which cannot write conditionally


def put_shipped_packages_first() -> str:
    """Make every later import use the packages of totesys_vendor. Return the version of Glue's own boto3, or "none".

    Call this before any of these packages is imported. Glue puts its own packages first on the path, and may have imported some before
    our first line. These are removed from sys.modules.
    Raises SystemExit with one line when the vendor wheel is missing, or another boto3 would still be imported.
    """
    try:
        folder = Path(importlib.import_module("totesys_vendor").__file__ or "").parent
    except ImportError:
        raise SystemExit(
            "FatalError: the job's packages are missing: the wheel totesys_vendor is not installed. Run scripts/deploy.sh again"
        ) from None
    try:
        glues_own = version("boto3")  # on the path as Glue made it
    except PackageNotFoundError:
        glues_own = "none"
    shipped = {path.name.partition(".")[0] for path in folder.iterdir()}
    for name in list(sys.modules):
        if name.partition(".")[0] in shipped:
            del sys.modules[name]
    sys.path.insert(0, str(folder))
    for name in _CHECKED:
        module = importlib.import_module(name)
        if folder not in Path(module.__file__ or "").parents:
            raise SystemExit(
                f"FatalError: {name} {module.__version__} of {module.__file__} was imported instead of"
                f" the shipped version in {folder}. Run scripts/deploy.sh again"
            )
    return glues_own
