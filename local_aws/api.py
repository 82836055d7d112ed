"""Actions of ours as ministack's: a dictionary in, a JSON response out, under one lock.

The lock guards all Glue state (catalog, jobs, triggers, workflows): ministack serves each Glue request on a thread of its own, and
job processes end on threads of ours. It is held while records change, never while a process runs or an event is delivered.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json, json_response

Record = dict[str, Any]
Action = Callable[[Record], Record]
Response = tuple[int, dict[str, str], bytes]

LOCK = threading.RLock()


class AwsError(Exception):
    """A refusal in the words of the service. `code` is the exception's name in the API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def not_found(message: str) -> AwsError:
    return AwsError("EntityNotFoundException", message)


def invalid(message: str) -> AwsError:
    return AwsError("InvalidInputException", message)


def already_exists(message: str) -> AwsError:
    return AwsError("AlreadyExistsException", message)


def answered(action: Action) -> Callable[[Record], Response]:
    """Wrap an action as ministack's dispatcher and its CloudFormation handlers call one."""

    @functools.wraps(action)
    def handler(data: Record) -> Response:
        with LOCK:
            try:
                return json_response(action(data))
            except AwsError as error:
                return error_response_json(error.code, str(error), 400)

    return handler
