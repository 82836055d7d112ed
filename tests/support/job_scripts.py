"""The job scripts as Glue runs them: in its Python, with its packages first on the path, and with what we ship installed behind them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from local_aws.glue.process import INSTALLED, PYTHONS, RUNNER
from local_aws.glue.wheels import install_wheel
from operations.deployment.artifacts import vendor_wheel
from tests.support.local_aws.machine import ROOT

_KINDS = {"ingest": "shell", "transform": "spark", "load": "spark"}


def job_command(job: str, words: Sequence[str]) -> list[str]:
    """The command that runs a job with these arguments. Our own code is imported from the checkout."""
    kind = _KINDS[job]
    folders = f"{shipped(kind)}:{ROOT / 'glue_jobs'}"
    return [str(PYTHONS[kind]), str(RUNNER), folders, str(ROOT / "glue_jobs" / f"{job}.py"), *words]


@cache
def shipped(kind: str) -> Path:
    """The folder that holds the installed vendor wheel of "shell" or "spark"."""
    wheel = vendor_wheel("ingest" if kind == "shell" else "spark")
    folder = INSTALLED / hashlib.sha256(wheel.read_bytes()).hexdigest()
    if not folder.exists():
        install_wheel(wheel, folder, PYTHONS[kind])
    return folder
