"""Pack all packages that a job ships into one wheel, totesys_vendor.

Glue installs each wheel and its dependencies with pip. This wheel declares no dependencies, so pip asks no package index. On the path,
Glue's own packages come before what pip installs, and some of them are older than we need. The shipped packages have a folder of their
own, so a job can put them first, wherever Glue has installed them (totesys/runtime/shipped.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

NAME = "totesys_vendor"
_EPOCH = "315532800"  # 1980-01-01, the earliest date of a zip archive. With a fixed date, the same packages give the same bytes


def main(argv: Sequence[str]) -> int:
    """Pack FOLDER/fetched/*.whl into one wheel in FOLDER. TAG says for which Python and platform it is."""
    folder, tag = Path(argv[0]), argv[1]
    pack(sorted((folder / "fetched").glob("*.whl")), tag, folder)
    return 0


def pack(wheels: Sequence[Path], tag: str, into: Path) -> Path:
    """Return the wheel that holds the content of these wheels, licences and metadata included."""
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as unpacked:
        packages, metadata = Path(unpacked) / NAME, Path(unpacked) / f"{NAME}-0.dist-info"
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(packages)  # nosec B202  # locked by its hash
        (packages / "__init__.py").write_text('"""Holds the packages that the jobs ship."""\n')
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 0\n")
        (metadata / "WHEEL").write_text(f"Wheel-Version: 1.0\nGenerator: {NAME}\nRoot-Is-Purelib: false\nTag: {tag}\n")
        command = [sys.executable, "-m", "wheel", "pack", "--dest-dir", str(into), unpacked]
        subprocess.run(command, env={**os.environ, "SOURCE_DATE_EPOCH": _EPOCH}, check=True, stdout=subprocess.DEVNULL)
    return into / f"{NAME}-0-{tag}.whl"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
