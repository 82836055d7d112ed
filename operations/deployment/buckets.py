"""Buckets emptied for good: every version of every object, and every delete marker."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from totesys.errors import RetriableError


def empty_bucket(s3: Any, bucket: str) -> int:
    """Deletes all versions and delete markers, a page at a time; returns how many. A bucket that is not there is empty."""
    deleted = 0
    with suppress(s3.exceptions.NoSuchBucket):
        while found := first_versions(s3, bucket):
            errors = s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True}).get("Errors")
            if errors:
                what = f"{len(errors)} objects of s3://{bucket} could not be deleted ({errors[0]['Code']})"
                raise RetriableError(f"{what}: see that you may delete versions there, and run scripts/destroy.sh again")
            deleted += len(found)
    return deleted


def first_versions(s3: Any, bucket: str) -> list[dict[str, str]]:
    """The first page of versions and delete markers: at most 1,000, which one deletion takes."""
    page = s3.list_object_versions(Bucket=bucket)
    return [{"Key": item["Key"], "VersionId": item["VersionId"]} for kind in ("Versions", "DeleteMarkers") for item in page.get(kind, ())]


def delete_bucket(s3: Any, bucket: str) -> int:
    """Empties a bucket and deletes it; returns how many versions were in it. One that is not there is no error."""
    deleted = empty_bucket(s3, bucket)
    with suppress(s3.exceptions.NoSuchBucket):
        s3.delete_bucket(Bucket=bucket)
    return deleted
