"""Reads objects of ministack's S3 from inside its process, without HTTP."""

from dataclasses import dataclass
from urllib.parse import urlparse

from ministack.services import s3


class NoSuchObject(Exception):
    """The message names the URI."""


@dataclass(frozen=True)
class Stored:
    """An object's place and the `etag` of its content."""

    bucket: str
    key: str
    etag: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def split(uri: str) -> tuple[str, str]:
    """Return bucket and key of an s3:// or s3a:// URI."""
    parsed = urlparse(uri)
    return parsed.netloc, parsed.path.lstrip("/")


def find(uri: str) -> Stored:
    bucket, key = split(uri)
    held = (s3._buckets.get(bucket) or {"objects": {}})["objects"].get(key)
    if held is None:
        raise NoSuchObject(f"{uri} does not exist")
    return Stored(bucket, key, held["etag"].strip('"'))


def read(stored: Stored) -> bytes:
    data = s3._get_object_data(stored.bucket, stored.key)
    if data is None:
        raise NoSuchObject(f"{stored.uri} does not exist")
    return bytes(data)


def under(location: str) -> list[Stored]:
    """Return the data objects below a table's or partition's location, by key. Names with a leading `_` or `.` are no data, as in Hive."""
    bucket, prefix = split(location)
    prefix = prefix.rstrip("/") + "/" if prefix else ""
    objects = dict((s3._buckets.get(bucket) or {"objects": {}})["objects"])
    return [
        Stored(bucket, key, objects[key]["etag"].strip('"'))
        for key in sorted(objects)
        if key.startswith(prefix) and not key.endswith("/") and not _hidden(key[len(prefix) :])
    ]


def _hidden(relative_key: str) -> bool:
    return any(part.startswith(("_", ".")) for part in relative_key.split("/"))
