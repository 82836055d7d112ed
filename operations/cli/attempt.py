"""How every command ends: with an exit code and, after a failure, with one line on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError
from totesys.errors import PipelineError

from operations.aws import explain
from operations.cli.exit_codes import COULD_NOT_START, DONE, FAILED, INTERRUPTED


class Attempt:
    """Around all that a command does.

    `exit_code`: 0 done; 1 failed after `has_started` was set; 2 could not start; 130 interrupted, with the words of `interrupted`.
    A command whose answer is no sets `exit_code` to 1 itself.
    """

    def __init__(self, command: str, interrupted: str = "no longer waiting; what was started goes on") -> None:
        self._command = command
        self._interrupted = interrupted
        self.has_started = False
        self.exit_code = DONE

    def __enter__(self) -> Attempt:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        """Turn a PipelineError, an error of AWS and an interruption into one line and an exit code."""
        if isinstance(error, KeyboardInterrupt):
            return self._ends(INTERRUPTED, self._interrupted)
        if not isinstance(error, (PipelineError, BotoCoreError, ClientError)):
            return False
        reason = str(error) if isinstance(error, PipelineError) else explain(error)
        return self._ends(FAILED, f"failed: {reason}") if self.has_started else self._ends(COULD_NOT_START, f"could not start: {reason}")

    def _ends(self, exit_code: int, line: str) -> bool:
        self.exit_code = exit_code
        print(f"{self._command}: {line}", file=sys.stderr)
        return True


def attempted(command: str, **words: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command's function an Attempt as its first argument, and end the command with the Attempt's exit code."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def run(*arguments: Any, **options: Any) -> None:
            with Attempt(command, **words) as attempt:
                function(attempt, *arguments, **options)
            click.get_current_context().exit(attempt.exit_code)

        return run

    return decorate
