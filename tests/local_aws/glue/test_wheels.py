"""What the jobs ship is installed as Glue installs it: each wheel alone, and no package index asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from local_aws.glue.process import PYTHONS
from operations.deployment.artifacts import build_wheel, vendor_wheel


@pytest.mark.parametrize(("environment", "kind"), [("ingest", "shell"), ("spark", "spark")])
def test_each_wheel_that_is_shipped_installs_alone_without_an_index(environment: str, kind: str, tmp_path: Path) -> None:
    for wheel in (build_wheel(tmp_path), vendor_wheel(environment)):
        target = tmp_path / wheel.name.partition("-")[0]
        command = [str(PYTHONS[kind]), "-m", "pip", "install", "--no-index", "--no-cache-dir", "--target", str(target), str(wheel)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.glob("totesys*/totesys*") if path.suffix == ""} == {"totesys", "totesys_vendor"}
