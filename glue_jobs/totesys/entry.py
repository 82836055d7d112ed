"""How every job starts and ends: logging, and a failure's one line where Glue shows it (the last line of stderr)."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from totesys.errors import PipelineError


def run_job(main: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """Runs a job's main and returns its exit code. A failure ends as SystemExit with one line that says what, where and what to do;
    an error that we did not foresee shows its traceback first."""
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("botocore").setLevel(logging.WARNING)  # it would say of every client where it found its endpoint
    try:
        return main(argv)
    except PipelineError as error:
        line = f"{type(error).__name__}: {error}"
    except Exception as error:
        traceback.print_exc()
        line = f"{type(error).__name__}: {error}"
    raise SystemExit(" ".join(line.split()))
