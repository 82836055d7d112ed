"""Upload the jobs' scripts and wheels to the artifacts bucket. The key changes with the content.

scripts/<hash>/<job>.py, wheels/<hash>/<name>.whl. A key is never written twice, so a run that has started keeps the code it started with.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from totesys.errors import FatalError
from totesys.lake.layout import uri
from totesys.lake.store import Bucket

ROOT = Path(__file__).parents[2]
JOBS = ("ingest", "transform", "load")


@dataclass(frozen=True)
class Artifacts:
    """The s3:// addresses of the code, as the jobs' template takes them. `new` are the keys that were uploaded now."""

    scripts: dict[str, str]
    ingest_wheels: tuple[str, ...]
    spark_wheels: tuple[str, ...]
    new: tuple[str, ...]

    def parameters(self) -> dict[str, str]:
        return {
            **{f"{job.capitalize()}Script": address for job, address in self.scripts.items()},
            "IngestWheels": ",".join(self.ingest_wheels),
            "SparkWheels": ",".join(self.spark_wheels),
        }


def present_artifacts(bucket: Bucket) -> set[str]:
    """Return the keys of the code in the bucket."""
    return {key for prefix in ("scripts/", "wheels/") for key, _ in bucket.objects(prefix)}


def collect_artifacts(bucket: str, present: Collection[str], put: Callable[[str, str], None]) -> Artifacts:
    """Build the pipeline's wheel, and upload it with the scripts and the wheels of other packages. Keys in `present` are left out."""
    new: list[str] = []

    def place(folder: str, paths: Iterable[Path]) -> tuple[str, ...]:
        keys = [f"{folder}/{content_hash(path)}/{path.name}" for path in paths]
        for path, key in zip(paths, keys):
            if key not in present and key not in new:
                put(str(path), key)
                new.append(key)
        return tuple(uri(bucket, key) for key in keys)

    scripts = dict(zip(JOBS, place("scripts", [ROOT / "glue_jobs" / f"{job}.py" for job in JOBS])))
    with tempfile.TemporaryDirectory() as folder:
        ours = build_wheel(Path(folder))
        ingest = place("wheels", [ours, vendor_wheel("ingest")])
        spark = place("wheels", [ours, vendor_wheel("spark")])
    return Artifacts(scripts, ingest, spark, tuple(new))


def content_hash(path: Path) -> str:
    """Return the first 16 digits of the file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def build_wheel(folder: Path) -> Path:
    """Build the wheel of the package that the jobs share. The same code gives the same bytes."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FatalError(f"the jobs' wheel could not be built: {done.stderr.strip().splitlines()[-1]}")
    return next(folder.glob("*.whl"))


def vendor_wheel(environment: str) -> Path:
    """Return the wheel of all packages that scripts/setup.sh has fetched for a job's Python; FatalError when there is none."""
    folder = ROOT / ".venv" / "wheels" / environment
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:
        raise FatalError(f"there is no wheel in {folder}: run scripts/setup.sh")
    return wheel


def code_version() -> str:
    """Return git's name for this code, or "unknown" without git."""
    command = ["git", "describe", "--tags", "--always", "--dirty"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
