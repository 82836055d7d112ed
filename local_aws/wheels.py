"""Wheels from S3, unpacked once per content, so that a job imports exactly what the deploy uploaded."""

import io
import shutil
import tempfile
import zipfile
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from local_aws import objects


class NotAWheel(Exception):
    """The message names the entry and says what may stand there."""


def unpack(uris: str, into: Path, interpreter: str) -> list[Path]:
    """The folders to import from, for a comma separated list of s3:// wheels (or zip archives), in its order.

    Each is unpacked under `into`/<ETag>: beside first, then renamed, so that two jobs at once never see half of one.
    A wheel built for another interpreter than ours ("cp311") is left out: where Python 3.9 is missing, ours has such packages itself.
    """
    return [_unpacked(uri.strip(), into) for uri in uris.split(",") if uri.strip() and fits(uri.strip(), interpreter)]


def fits(uri: str, interpreter: str) -> bool:
    try:
        tags = parse_wheel_filename(uri.rpartition("/")[2])[-1]
    except InvalidWheelFilename:
        return True  # an archive, or something that unpacking explains
    return any(tag.interpreter in (interpreter, "py3") for tag in tags)


def _unpacked(uri: str, into: Path) -> Path:
    if not uri.startswith("s3://") or not uri.endswith((".whl", ".zip")):
        raise NotAWheel(f"{uri} is not a .whl or .zip on s3://: this machine installs nothing from a package registry")
    stored = objects.find(uri)
    folder = into / stored.etag
    if folder.exists():
        return folder
    into.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=into))
    try:
        with zipfile.ZipFile(io.BytesIO(objects.read(stored))) as archive:
            archive.extractall(fresh)
        fresh.rename(folder)
    except zipfile.BadZipFile as error:
        raise NotAWheel(f"{uri} is not a zip archive") from error
    except OSError:
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder
