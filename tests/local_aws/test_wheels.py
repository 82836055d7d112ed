"""Which wheels a job's interpreter can import."""

import pytest

from local_aws.wheels import fits


@pytest.mark.parametrize(
    ("wheel", "interpreter", "expected"),
    [
        ("pyarrow-20.0.0-cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "cp39", True),
        ("pyarrow-20.0.0-cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "cp311", False),
        ("boto3-1.42.97-py3-none-any.whl", "cp311", True),
        ("python_dateutil-2.9.0.post0-py2.py3-none-any.whl", "cp39", True),
        ("modules.zip", "cp311", True),
    ],
)
def test_a_wheel_for_another_interpreter_is_left_out(wheel: str, interpreter: str, expected: bool) -> None:
    assert fits(f"s3://artifacts/wheels/0123456789abcdef/{wheel}", interpreter) is expected
