"""The code that travels to the jobs, and the parameters that travel to the templates."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from totesys.errors import FatalError

from operations.deploy.artifacts import build_wheel, content_hash, fetched_wheels
from operations.deploy.stacks import Template, parameter_values, variable


def test_our_wheel_is_the_same_bytes_for_the_same_code_and_holds_the_contracts(tmp_path: Path) -> None:
    first, second = build_wheel(tmp_path / "first"), build_wheel(tmp_path / "second")
    assert content_hash(first) == content_hash(second)
    with zipfile.ZipFile(first) as wheel:
        names = wheel.namelist()
    assert len([name for name in names if name.startswith("totesys/catalog/source/")]) == 11
    assert "totesys/contracts.py" in names
    assert first.name.endswith("-py3-none-any.whl")


@pytest.mark.parametrize(("environment", "python"), [("ingest", "cp39"), ("spark", "cp311")])
def test_the_wheels_are_for_the_python_of_the_job(environment: str, python: str) -> None:
    (driver,) = [wheel for wheel in fetched_wheels(environment) if wheel.name.startswith("psycopg2_binary-")]
    assert f"-{python}-" in driver.name and "manylinux" in driver.name


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
