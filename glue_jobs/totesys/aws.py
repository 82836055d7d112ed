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


@contextmanager
def aws_call(doing: str, hint: str = "check the job's role, and run scripts/deploy.sh again") -> Iterator[None]:
    """Around calls to AWS: `doing` says what is done to what. RetriableError for a hiccup, FatalError with the hint for a refusal."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _HICCUPS:
            raise RetriableError(f"{doing} failed for the moment ({code}): the next run tries again") from error
        raise FatalError(f"{doing} was refused ({code}): {hint}") from error
    except ParamValidationError as error:
        raise FatalError(
            f"{doing} is more than AWS's SDK knows here: botocore {botocore.__version__} of {botocore.__file__} is too old. Run"
            " scripts/deploy.sh again, which ships a newer one"
        ) from error
    except (BotoCoreError, HTTPClientError, Boto3Error) as error:
        raise RetriableError(f"{doing} got no answer ({type(error).__name__}): check the network and AWS_ENDPOINT_URL") from error
