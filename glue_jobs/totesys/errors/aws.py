"""What goes wrong with a call to AWS, in our words: one place that tells a hiccup from a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import botocore
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ParamValidationError

from totesys.errors import FatalError, RetriableError

_HICCUPS = frozenset({
    "ConcurrentModificationException", "InternalError", "InternalServiceException", "InternalServiceError", "OperationTimeoutException",
    "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "500", "502", "503", "504",
})  # fmt: skip
_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})


@contextmanager
def aws_call(doing: str, hint: str = "check the job's role, and run scripts/deploy.sh again") -> Iterator[None]:
    """Around calls to AWS: `doing` says what is done to what. RetriableError for a hiccup, FatalError with the hint for a refusal, and with
    AWS's own words if a right is missing: they name it."""
    try:
        yield
    except ClientError as error:
        raise _refusal(error, doing, hint) from error
    except ParamValidationError as error:
        raise FatalError(
            f"{doing} is more than AWS's SDK knows here: botocore {botocore.__version__} of {botocore.__file__} is too old. Run"
            " scripts/deploy.sh again, which ships a newer one"
        ) from error
    except (BotoCoreError, HTTPClientError, Boto3Error) as error:
        if isinstance(error.__context__, ClientError):  # an upload says what has failed by an error of its own
            raise _refusal(error.__context__, doing, hint) from error
        raise RetriableError(f"{doing} got no answer ({type(error).__name__}): check the network and AWS_ENDPOINT_URL") from error


def _refusal(error: ClientError, doing: str, hint: str) -> RetriableError | FatalError:
    code = error.response["Error"]["Code"]
    if code in _HICCUPS:
        return RetriableError(f"{doing} failed for the moment ({code}): the next run tries again")
    words = f": {error.response['Error'].get('Message', '')}" if code in _DENIED else ""
    return FatalError(f"{doing} was refused ({code}{words}): {hint}")
