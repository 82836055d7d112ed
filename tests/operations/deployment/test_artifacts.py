"""The code that travels to the jobs, and the parameters that travel to the templates."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from totesys.errors import FatalError

from operations.deployment.artifacts import build_wheel, content_hash, vendor_wheel
from operations.deployment.templates import Template, parameter_values, variable
from operations.deployment.vendor_wheel import pack


def test_our_wheel_is_the_same_bytes_for_the_same_code_and_holds_the_contracts(tmp_path: Path) -> None:
    first, second = build_wheel(tmp_path / "first"), build_wheel(tmp_path / "second")
    assert content_hash(first) == content_hash(second)
    with zipfile.ZipFile(first) as wheel:
        names = wheel.namelist()
    assert len([name for name in names if name.startswith("totesys/catalog/source/")]) == 11
    assert "totesys/contracts/__init__.py" in names
    assert "totesys/py.typed" in names
    assert first.name.endswith("-py3-none-any.whl")


@pytest.mark.parametrize(("environment", "python"), [("ingest", "cp39"), ("spark", "cp311")])
def test_the_shipped_packages_are_for_the_python_of_the_job_and_demand_no_others(environment: str, python: str) -> None:
    wheel = vendor_wheel(environment)
    assert f"-{python}-{python}-manylinux" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert b"Requires-Dist" not in archive.read("totesys_vendor-0.dist-info/METADATA")
    assert "totesys_vendor/botocore/__init__.py" in names
    drivers = [name for name in names if name.startswith("totesys_vendor/psycopg2/_psycopg")]
    assert [driver for driver in drivers if f"cpython-{python[2:]}-" in driver] == drivers != []


def test_the_same_packages_give_the_same_wheel(tmp_path: Path) -> None:
    package = tmp_path / "small-1-py3-none-any.whl"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("small.py", "")
    (first, second) = (pack([package], "py3-none-any", into) for into in (tmp_path / "first", tmp_path / "second"))
    assert content_hash(first) == content_hash(second)


def test_a_parameter_comes_from_the_deploy_then_the_environment_then_the_default() -> None:
    template = Template("jobs", Path("jobs.yaml"), {"Project": "totesys", "LogDays": "90", "Workers": "2", "LoadScript": None}, {})
    environment = {"TOTESYS_LOG_DAYS": "30", "TOTESYS_PROJECT": "not this"}
    values = parameter_values(template, {"Project": "mine", "LoadScript": "s3://code/load.py"}, environment)
    assert values == {"Project": "mine", "LogDays": "30", "Workers": "2", "LoadScript": "s3://code/load.py"}


def test_a_parameter_without_a_value_is_named_with_its_variable() -> None:
    template = Template("jobs", Path("jobs.yaml"), {"LoadScript": None}, {})
    with pytest.raises(FatalError, match=r"parameter LoadScript of jobs\.yaml has no value: set TOTESYS_LOAD_SCRIPT"):
        parameter_values(template, {}, {})


def test_variables_are_named_after_parameters() -> None:
    assert [variable(name) for name in ("Schedule", "QueryScanLimit", "SubnetId")] == [
        "TOTESYS_SCHEDULE", "TOTESYS_QUERY_SCAN_LIMIT", "TOTESYS_SUBNET_ID",
    ]  # fmt: skip
