"""Empty buckets for good: delete every version of every object, and every delete marker."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from totesys.errors import RetriableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef


def empty_bucket(s3: S3Client, bucket: str) -> int:
    """Delete all versions and delete markers, page by page, and return how many. A missing bucket counts as empty."""
    deleted = 0
    with suppress(s3.exceptions.NoSuchBucket):
        while found := first_versions(s3, bucket):
            errors = s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True}).get("Errors")
            if errors:
                what = f"{len(errors)} objects of s3://{bucket} could not be deleted ({errors[0]['Code']})"
                raise RetriableError(f"{what}: see that you may delete versions there, and run scripts/destroy.sh again")
            deleted += len(found)
    return deleted


def first_versions(s3: S3Client, bucket: str) -> list[ObjectIdentifierTypeDef]:
    """Return the first page of versions and delete markers: at most 1,000, as many as one request can delete."""
    page = s3.list_object_versions(Bucket=bucket)
    found = (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
    return [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]


def delete_bucket(s3: S3Client, bucket: str) -> int:
    """Empty a bucket and delete it. Return how many versions it had. A missing bucket is no error."""
    deleted = empty_bucket(s3, bucket)
    with suppress(s3.exceptions.NoSuchBucket):
        s3.delete_bucket(Bucket=bucket)
    return deleted
