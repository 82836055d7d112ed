"""Formats of objects that outlive a deploy: one release writes them, and another may read them.

Each object holds its format, a whole number. A reader accepts every format up to its own number and refuses newer formats. It ignores
unknown fields, and gives missing fields their defaults. ADR 25 says when a number is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, TypeVar

from totesys.errors import FatalError
from totesys.lake.store import Bucket

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# For each kind, the format that this code writes, which is also the newest that it reads.
BATCH_MANIFEST = 1
PUBLISH_MANIFEST = 1
KEY_SET = 1  # _keys/: a 64-bit roaring bitmap, in the portable serialisation
SEEN_VERSIONS = 1  # _seen/: Parquet with key and source_xid
OPEN_LETTERS = 1  # _open/: Parquet with key, source_xid, batch_seq and reason
DEAD_LETTER = 1  # a line of dead_letter/…/*.jsonl
DISCARD = 1  # dead_letter/<table>/discarded/*.json
RUN_REQUEST = 1  # properties of a workflow run
WAREHOUSE = 1  # the tables of schema etl

_FORMAT = "format"

_Made = TypeVar("_Made")
_Format = TypeVar("_Format", bound="DataclassInstance")


def with_format(number: int, body: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON object to write: its format first, then its fields."""
    return {_FORMAT: number, **body}


def read_object(bucket: Bucket, key: str, newest: int, make: Callable[[dict[str, Any]], _Made]) -> _Made:
    """Return what `make` builds from a JSON object in a bucket. FatalError in one line when it is damaged or newer than this code."""
    return make_of(bucket, key, bucket.get_json(key), newest, make)


def make_of(bucket: Bucket, key: str, body: Any, newest: int, make: Callable[[dict[str, Any]], _Made]) -> _Made:
    """Return what `make` builds from the parsed JSON of an object. Errors as of `read_object`."""
    if not isinstance(body, dict):
        raise bucket.damaged(key, "it is JSON, but not an object")
    number = body.get(_FORMAT)
    if type(number) is not int or number < 1:
        raise bucket.damaged(key, "it has no format number, so it is damaged, or a release before 0.2.0 wrote it")
    refuse_newer(bucket.address(key), number, newest)
    try:
        return make(body)
    except KeyError as error:
        raise bucket.damaged(key, f"it lacks {error.args[0]}") from error
    except ValueError as error:
        raise bucket.damaged(key, str(error)) from error
    except (AttributeError, IndexError, TypeError) as error:
        raise bucket.damaged(key, f"a field has another type ({error})") from error


def build(kind: type[_Format], body: dict[str, Any], **parsed: Any) -> _Format:
    """Return an object of the dataclass `kind`, made from JSON fields and from `parsed` values, which replace fields of the same name.

    Unknown fields are ignored, and missing ones get their defaults. ValueError when a field that has no default is missing.
    """
    values, known = {**body, **parsed}, fields(kind)
    required = [one.name for one in known if one.default is MISSING and one.default_factory is MISSING]
    if lacking := [name for name in required if name not in values]:
        raise ValueError(f"it lacks {', '.join(lacking)}")
    return kind(**{one.name: values[one.name] for one in known if one.name in values})


def refuse_newer(where: str, found: int, newest: int) -> None:
    """Raise FatalError when the format found at `where` is newer than the newest that this code reads."""
    if found > newest:
        raise FatalError(
            f"{where} was written by a newer version of the pipeline (format {found}, this code reads up to {newest})",
            "deploy that version again",
        )
