"""The session with which every command speaks to AWS, and the errors of AWS in words."""

from __future__ import annotations

import os
from functools import cache

import boto3
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError, PartialCredentialsError
from totesys.errors import FatalError


def aws_session() -> boto3.Session:
    """Return a session in the environment's region, which creates each client once. FatalError when the environment names no region."""
    # boto3 reads AWS_DEFAULT_REGION alone, while other AWS tools read AWS_REGION.
    session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
    if not session.region_name:
        raise FatalError('no AWS region is set: set AWS_REGION, or for a local stack run eval "$(scripts/local.sh env)"')
    session.client = cache(session.client)  # type: ignore[method-assign]  # creating a client takes as long as two or three calls
    return session


def explain(error: BotoCoreError | ClientError) -> str:
    """Return an AWS error as one line that says what to do."""
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return 'no AWS credentials: set AWS_PROFILE or the AWS_* variables, or for a local stack run eval "$(scripts/local.sh env)"'
    if isinstance(error, EndpointConnectionError):
        return f"{error}: check AWS_ENDPOINT_URL and the network, or for a local stack run scripts/local.sh up"
    if isinstance(error, ClientError):
        message = " ".join(error.response["Error"]["Message"].split())  # a message about a template has several lines
        return f"AWS refused {error.operation_name} ({error.response['Error']['Code']}): {message}"
    return f"AWS could not be reached: {error}"
