"""Read and write a bucket: small objects whole, and exclusive puts. Uses boto3 only, so that ingest imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from totesys.errors import FatalError
from totesys.errors.aws import aws_call

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

_PER_DELETE = 1000
_FIRST_KEYS = 10  # keys per request: foreign objects, for example a console's folder marker, may come before ours


class AlreadyThereError(Exception):
    """An exclusive put found the key taken: another writer was first."""


@dataclass(frozen=True)
class Bucket:
    """One bucket and a boto3 S3 client."""

    client: S3Client
    name: str

    def get(self, key: str) -> bytes:
        """Return the object's bytes. FatalError when the bucket or the key does not exist or may not be read."""
        with self._call("reading", key):
            return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def put(self, key: str, body: bytes) -> None:
        """Write a whole object."""
        with self._call("writing", key):
            self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def put_if_absent(self, key: str, body: bytes) -> None:
        """Write an object unless the key exists. Of several writers at once one succeeds; AlreadyThereError for all others."""
        with self._call("writing", key):
            try:
                self.client.put_object(Bucket=self.name, Key=key, Body=body, IfNoneMatch="*")
            except ClientError as error:
                # 409 ConditionalRequestConflict: another writer writes the same key at this moment.
                if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise AlreadyThereError(key) from error
                raise

    def upload(self, path: str, key: str) -> None:
        """Upload a local file in parts, in bounded memory."""
        with self._call("uploading", key):
            self.client.upload_file(path, self.name, key, Config=TransferConfig(max_concurrency=2))

    def objects(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        """Yield every key below a prefix, in order, and the UTC time when it was written."""
        with self._call("listing", prefix):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield entry["Key"], entry["LastModified"]

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, as many per request as S3 takes. An object that does not exist is no error.

        S3 answers with success even if it could not delete some keys, and lists those. Then an error is raised.
        """
        for start in range(0, len(keys), _PER_DELETE):
            some: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in keys[start : start + _PER_DELETE]]
            with self._call("deleting", some[0]["Key"]):
                answer = self.client.delete_objects(Bucket=self.name, Delete={"Objects": some, "Quiet": True})
                if errors := answer.get("Errors"):
                    raise ClientError({"Error": errors[0]}, "DeleteObjects")

    def first_key(self, prefix: str, is_ours: Callable[[str], bool]) -> str | None:
        """Return the first key below a prefix whose name is one of ours; None when there is none.

        Takes one request, unless the first _FIRST_KEYS keys are all foreign.
        """
        with self._call("listing", prefix):
            page = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix, MaxKeys=_FIRST_KEYS)
        keys = [entry["Key"] for entry in page.get("Contents", ())]
        found = next(filter(is_ours, keys), None)
        if found is None and page.get("IsTruncated"):
            return next((key for key, _ in self.objects(prefix) if is_ours(key)), None)
        return found

    def get_json(self, key: str) -> Any:
        """Return the object as parsed JSON. FatalError when it is not JSON."""
        body = self.get(key)
        try:
            return json.loads(body)
        except ValueError as error:  # this error's text contains no part of the object
            raise self.damaged(key, "it is not JSON" if body else "it is empty") from error

    def address(self, key: str) -> str:
        """Return the s3:// address of a key, for messages."""
        return f"s3://{self.name}/{key}"

    def damaged(self, key: str, reason: str) -> FatalError:
        """Return the error for an object of ours that is not as the pipeline wrote it."""
        return FatalError(
            f"{self.address(key)} cannot be read: {reason}. Restore the object's earlier version, which the bucket keeps: delete"
            f" the newest version, or copy the earlier version over it. To list the versions: aws s3api list-object-versions"
            f" --bucket {self.name} --prefix {key}"
        )

    def _call(self, doing: str, key: str) -> AbstractContextManager[None]:
        return aws_call(
            f"{doing} {self.address(key)}",
            "check that the bucket exists and that the job's role may use it; scripts/deploy.sh proves that the bucket exists",
        )
