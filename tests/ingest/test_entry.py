"""How a job ends: the last line of stderr is what Glue shows of a failure."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

import boto3
import pytest
from totesys.errors import FatalError
from totesys.runtime.entry import run_job


def test_a_job_that_succeeds_ends_without_an_exit_and_logs_json_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    def main(argv: Sequence[str]) -> None:
        logging.getLogger("totesys").info("read %s", argv[0])

    run_job("ingest", main, ["design", "--JOB_RUN_ID", "jr_1"], "1.21.21")
    first, line = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["message"].endswith(f"boto3 {boto3.__version__} instead of Glue's 1.21.21")
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO", "job": "ingest", "run": "jr_1", "batch": None, "table": None, "event": None, "rows": None, "seconds": None,
        "message": "read design",
    }  # fmt: skip


def test_a_failure_that_we_foresee_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def main(argv: Sequence[str]) -> None:
        raise FatalError("the bucket is missing:\n run scripts/deploy.sh")

    with pytest.raises(SystemExit) as ended:
        run_job("load", main, [])
    assert ended.value.code == "FatalError: the bucket is missing: run scripts/deploy.sh"
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["level"], line["event"], line["message"]) == ("ERROR", "failed", ended.value.code)


def test_a_failure_that_we_do_not_foresee_shows_where_it_happened(capsys: pytest.CaptureFixture[str]) -> None:
    def main(argv: Sequence[str]) -> None:
        raise KeyError("design")

    with pytest.raises(SystemExit) as ended:
        run_job("load", main, [])
    assert ended.value.code == "KeyError: 'design'"
    assert "Traceback" in capsys.readouterr().err
