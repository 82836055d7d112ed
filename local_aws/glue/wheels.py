"""Wheels from S3, installed once per content as Glue installs them: each by itself, with pip, and with no package index in reach."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from local_aws.s3 import objects


class NotAWheel(Exception):
    """The message names the entry and says what may stand there."""


def install(uris: str, into: Path, python: Path) -> list[Path]:
    """Return the folders to import from, for a comma separated list of s3:// wheels, in its order.

    Each is installed under `into`/<ETag>. Raises NotAWheel when an entry is none, or when pip of that `python` cannot install it.
    """
    return [_installed(uri.strip(), into, python) for uri in uris.split(",") if uri.strip()]


def _installed(uri: str, into: Path, python: Path) -> Path:
    if not uri.startswith("s3://") or not uri.endswith(".whl"):
        raise NotAWheel(f"{uri} is not a .whl on s3://: this machine installs nothing from a package registry")
    stored = objects.find(uri)
    folder = into / stored.etag
    if not folder.exists():
        with tempfile.TemporaryDirectory() as download:
            wheel = Path(download) / uri.rpartition("/")[2]
            wheel.write_bytes(objects.read(stored))
            install_wheel(wheel, folder, python)
    return folder


def install_wheel(wheel: Path, folder: Path, python: Path) -> None:
    """Install one wheel into a new folder, which appears once it is complete. Who comes second leaves it as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent))
    command = [str(python), "-m", "pip", "install", "--no-index", "--no-cache-dir", "--disable-pip-version-check", "--target", str(fresh)]
    try:
        done = subprocess.run([*command, str(wheel)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotAWheel(f"{wheel.name} cannot be installed: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1]}")
        fresh.rename(folder)
    except OSError:
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
