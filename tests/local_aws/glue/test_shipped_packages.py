"""The jobs import what we ship, though Glue's own packages come first on the path and are imported before our first line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from local_aws.glue.process import PYTHONS, RUNNER
from tests.support.job_scripts import shipped
from tests.support.local_aws.machine import ROOT

SHOW = """
import sys
before = sys.modules["botocore"].__version__
from totesys.runtime.shipped import put_shipped_packages_first
put_shipped_packages_first()
import boto3, botocore
print(before, boto3.__version__, botocore.__version__)
"""


def script(tmp_path: Path, source: str, kind: str, *folders: Path) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "script.py"
    file.write_text(source)
    path = ":".join(map(str, [*folders, ROOT / "glue_jobs"]))
    return subprocess.run([str(PYTHONS[kind]), str(RUNNER), path, str(file)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("kind", "glues_own"), [("shell", "1.24.21"), ("spark", "1.34.131")])
def test_the_shipped_sdk_takes_the_place_of_glues_own(tmp_path: Path, kind: str, glues_own: str) -> None:
    done = script(tmp_path, SHOW, kind, shipped(kind))
    assert (done.returncode, done.stdout) == (0, f"{glues_own} 1.42.97 1.42.97\n"), done.stderr


def test_a_job_without_its_packages_ends_with_one_line(tmp_path: Path) -> None:
    done = script(tmp_path, SHOW, "shell")
    assert done.returncode == 1
    assert done.stderr == (
        "FatalError: the job's packages are missing: the wheel totesys_vendor is not installed. Run scripts/deploy.sh again\n"
    )


def test_a_job_whose_packages_are_not_the_ones_imported_ends_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "totesys_vendor").mkdir()
    (tmp_path / "totesys_vendor" / "__init__.py").touch()  # it holds no boto3
    done = script(tmp_path, SHOW, "shell", tmp_path)
    assert done.returncode == 1
    place = tmp_path / "totesys_vendor"
    assert done.stderr.startswith("FatalError: boto3 1.21.21 of ")
    assert done.stderr.endswith(f" was imported instead of the shipped version in {place}. Run scripts/deploy.sh again\n")
