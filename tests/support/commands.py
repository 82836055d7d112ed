"""Commands of scripts/totesys, run in the test's own process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from operations.cli.main import main


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, the lines on stdout, and all of stderr."""

    code: int
    out: list[str]
    err: str
    text: str = field(default="", compare=False)

    @property
    def json(self) -> Any:
        """What stdout holds, which must be one JSON document."""
        return json.loads(self.text)


def totesys(capsys: pytest.CaptureFixture[str], *words: str) -> Ended:
    """Run one command."""
    capsys.readouterr()
    code = main(words)
    printed = capsys.readouterr()
    return Ended(code, printed.out.splitlines(), printed.err, printed.out)
