"""A bucket as the jobs use it: small objects whole, and exclusive puts. boto3 alone, so that ingest imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from totesys.errors import FatalError


class AlreadyThereError(Exception):
    """An exclusive put found the key taken: somebody else was first."""


@dataclass(frozen=True)
class Bucket:
    """One bucket behind a boto3 S3 client."""

    client: Any
    name: str

    def get(self, key: str) -> bytes:
        """The object's bytes; FatalError when the bucket or the key does not exist or may not be read."""
        try:
            return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        except ClientError as error:
            raise self._explained(error, key) from error

    def put(self, key: str, body: bytes) -> None:
        """Writes an object whole."""
        try:
            self.client.put_object(Bucket=self.name, Key=key, Body=body)
        except ClientError as error:
            raise self._explained(error, key) from error

    def put_if_absent(self, key: str, body: bytes) -> None:
        """Writes an object unless the key exists, whoever races; AlreadyThereError for the one that comes second."""
        try:
            self.client.put_object(Bucket=self.name, Key=key, Body=body, IfNoneMatch="*")
        except ClientError as error:
            # 409 ConditionalRequestConflict: another writer is at the same key this very moment.
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise AlreadyThereError(key) from error
            raise self._explained(error, key) from error

    def upload(self, path: str, key: str) -> None:
        """Uploads a local file in parts, in bounded memory."""
        try:
            self.client.upload_file(path, self.name, key)
        except ClientError as error:
            raise self._explained(error, key) from error

    def keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Every key below a prefix with its size in bytes, in the order of the keys."""
        try:
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield entry["Key"], entry["Size"]
        except ClientError as error:
            raise self._explained(error, prefix) from error

    def first_key(self, prefix: str) -> str | None:
        """The first key below a prefix, in one request; None when there is none."""
        try:
            found = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix, MaxKeys=1).get("Contents")
        except ClientError as error:
            raise self._explained(error, prefix) from error
        return found[0]["Key"] if found else None

    def get_json(self, key: str) -> Any:
        """The object as parsed JSON."""
        return json.loads(self.get(key))

    def _explained(self, error: ClientError, key: str) -> FatalError:
        code = error.response["Error"]["Code"]
        hint = "deploy the stacks again: scripts/deploy.sh" if code == "NoSuchBucket" else "check the bucket and the job's role"
        return FatalError(f"S3 refused {error.operation_name} of s3://{self.name}/{key} ({code}): {hint}")
