"""ministack's internals are where this package expects them."""

import pytest

from local_aws import seams


def test_every_patched_internal_of_ministack_is_where_it_was() -> None:
    seams.check()


@pytest.mark.parametrize(
    "seam",
    [
        seams.Seam("ministack.services.glue", "_gone", ("data",)),
        seams.Seam("ministack.services.glue", "_start_job_run", ("data", "context")),
    ],
)
def test_a_moved_internal_is_named(seam: seams.Seam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seams, "PATCHED", [seam])
    with pytest.raises(seams.Moved, match=seam.name):
        seams.check()


def test_another_version_of_ministack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seams, "version", lambda package: "1.6.0")
    with pytest.raises(seams.Moved, match=r"1\.6\.0"):
        seams.check()
