"""Turn errors of AWS into the pipeline's own errors. Only this module decides whether an error is temporary or a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import botocore
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ParamValidationError

from totesys.errors import FatalError, RetriableError

_TEMPORARY = frozenset({
    "ConcurrentModificationException", "InternalError", "InternalServiceException", "InternalServiceError", "OperationTimeoutException",
    "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "500", "502", "503", "504",
})  # fmt: skip
_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})


@contextmanager
def aws_call(doing: str, hint: str = "check the job's role, and run scripts/deploy.sh again") -> Iterator[None]:
    """Turn errors of the AWS calls inside this context into the pipeline's own. `doing` says what is done to what.

    RetriableError for a temporary error. FatalError with the hint for a refusal; if a right is missing, with AWS's message, which names it.
    """
    try:
        yield
    except ClientError as error:
        raise _refusal(error, doing, hint) from error
    except ParamValidationError as error:
        raise FatalError(
            f"{doing} failed, since botocore {botocore.__version__} of {botocore.__file__} is too old to know a parameter. Run"
            " scripts/deploy.sh again, which ships a newer version"
        ) from error
    except (BotoCoreError, HTTPClientError, Boto3Error) as error:
        if isinstance(error.__context__, ClientError):  # an upload wraps the error that made it fail
            raise _refusal(error.__context__, doing, hint) from error
        raise RetriableError(f"{doing} got no answer ({type(error).__name__}): check the network and AWS_ENDPOINT_URL") from error


def _refusal(error: ClientError, doing: str, hint: str) -> RetriableError | FatalError:
    code = error.response["Error"]["Code"]
    if code in _TEMPORARY:
        return RetriableError(f"{doing} failed for the moment ({code}): the next run tries again")
    words = f": {error.response['Error'].get('Message', '')}" if code in _DENIED else ""
    return FatalError(f"{doing} was refused ({code}{words}): {hint}")
