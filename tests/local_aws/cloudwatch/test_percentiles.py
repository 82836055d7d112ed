"""A stage against its own last day. The percentiles of CloudWatch are the local AWS's: moto has none."""

import pytest
from totesys.runtime import metrics

from local_aws.environment import aws_environment
from tests.support.local_aws.machine import LocalAws


def test_a_run_that_takes_long_is_compared_with_the_median_of_the_last_day(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws_environment(aws.endpoint).items():
        monkeypatch.setenv(name, value)
    for seconds in (90.0, 100.0, 110.0):
        metrics.put("p", "transform", metrics.Counts(), seconds)
    slow, quick = metrics.Counts(), metrics.Counts()
    metrics.put("p", "transform", slow, 300.0)
    metrics.put("p", "transform", quick, 40.0)
    assert slow.values["Slowdown", None] == pytest.approx(3.0)
    assert quick.values["Slowdown", None] == 0.0
