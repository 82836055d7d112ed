"""How a command that starts something ends: one line on stderr, and an exit code that tells how far it came."""

from __future__ import annotations

import sys
from types import TracebackType

from botocore.exceptions import BotoCoreError, ClientError
from totesys.errors import PipelineError

from operations.deployment.deployment import explain


class Attempt:
    """Around all that a command does.

    `exit_code`: 0 done; 1 failed after `has_started` was set; 2 could not start; 130 interrupted, told in the words of `interrupted`.
    """

    def __init__(self, command: str, interrupted: str = "no longer waiting; what was started goes on") -> None:
        self._command = command
        self._interrupted = interrupted
        self.has_started = False
        self.exit_code = 0

    def __enter__(self) -> Attempt:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        """Swallows what it can say in one line: a PipelineError, an error of AWS, an interruption."""
        if isinstance(error, KeyboardInterrupt):
            return self._ends(130, self._interrupted)
        if not isinstance(error, (PipelineError, BotoCoreError, ClientError)):
            return False
        reason = str(error) if isinstance(error, PipelineError) else explain(error)
        return self._ends(1, f"failed: {reason}") if self.has_started else self._ends(2, f"could not start: {reason}")

    def _ends(self, exit_code: int, line: str) -> bool:
        self.exit_code = exit_code
        print(f"{self._command}: {line}", file=sys.stderr)
        return True
