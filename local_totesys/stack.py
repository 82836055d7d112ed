"""The local stack: source, warehouse and AWS as background processes, with all their state in one folder.

The state file is written before a part is started, and again once the part is ready. So the next command finds what a killed command has
left behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from local_totesys.postgres import HOST, PostgresError, PostgresServer, free_port

ROOT = Path(__file__).resolve().parent.parent
STATE = "stack.json"
DATABASES = {"source": "totesys", "warehouse": "warehouse"}
PARTS = (*DATABASES, "aws")
HEALTH = "/_ministack/health"
AWS_SECONDS = 60.0
STOP_SECONDS = 15.0
MINIMUM_FREE_MB = 500

# Java, Python, PostgreSQL and Spark read lists of paths. These characters end a path or a word there, and cannot be quoted.
UNUSABLE = frozenset(':"$`\\\n')

Say = Callable[[str], None]
Prepare = Callable[[PostgresServer, Say], None]


class StackError(Exception):
    """The stack could not carry out a command. The message says why and what to do."""


class Stack:
    """The stack whose state is in `folder`. For each part, the state holds port, pid, since (UTC) and whether it is ready."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.parts: dict[str, dict[str, Any]] = {}
        with suppress(FileNotFoundError):
            self.parts = json.loads((self.folder / STATE).read_text())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the folder while a command works on it. Create the folder if needed, and refuse a folder that holds foreign files."""
        if UNUSABLE & set(str(self.folder)):
            raise StackError('LOCAL_DIR contains one of : " $ ` \\ or a line break, which search paths cannot contain: name another folder')
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / STATE).exists() and any(self.folder.iterdir()):
            raise StackError(f"{self.folder} holds other files: set LOCAL_DIR to an empty or new folder")
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(f"another command is working on {self.folder}: wait for it") from error

    def is_up(self, name: str) -> bool:
        """Return whether the part is ready and its process is alive."""
        part = self.parts.get(name, {})
        return bool(part.get("ready")) and self._is_alive(name)

    def server(self, name: str) -> PostgresServer:
        """Return the running PostgreSQL of this part. PostgresError when it is down."""
        return PostgresServer.attach(self.folder / name)

    def url(self, name: str) -> str:
        """Return the part's URL. For a database, it contains the owner's role and password."""
        if name in DATABASES:
            return self.server(name).url(DATABASES[name])
        return f"http://{HOST}:{self.parts[name]['port']}"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def start_database(self, name: str, prepare: Prepare, say: Say) -> None:
        """Start a PostgreSQL on the port that it had before. If it was never ready, recreate it; `prepare` fills it."""
        known = self.parts.get(name, {})
        is_new = not known.get("ready")
        self._check_disk()
        say("starting")
        if is_new:
            self.stop(name)
            self.forget(name)
            self._record(name, ready=False)
        server = PostgresServer.start(self.folder / name, known.get("port"), log=self.log(name))
        if is_new:
            server.create_database(DATABASES[name])
            prepare(server, say)
        self._record(name, port=server.port, pid=server.pid, since=now(), ready=True)

    def start_aws(self, schedule: bool, say: Say) -> None:
        """Start the AWS launcher on the port that it had before, and wait until it answers. Its earlier state in memory is lost."""
        self.stop("aws")  # A killed command may have left an AWS that was never ready.
        port = free_port(self.parts.get("aws", {}).get("port", 0))
        say("starting")
        command = [sys.executable, "-m", "local_aws", "--port", str(port), "--local-dir", str(self.folder)]
        if schedule:
            command.append("--schedule")
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'glue_jobs'}", "LOCAL_DIR": str(self.folder)}
        with self.log("aws").open("a") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._record("aws", port=port, pid=process.pid, since=now(), schedule=schedule, ready=False)
        deadline = time.monotonic() + AWS_SECONDS
        while not answers(f"http://{HOST}:{port}{HEALTH}"):
            if process.poll() is not None:
                raise StackError(f"AWS does not start: {last_line(self.log('aws'))}")
            if time.monotonic() > deadline:
                raise StackError(f"AWS does not answer within {AWS_SECONDS:.0f} s: see {self.log('aws')}")
            time.sleep(0.05)
        self._record("aws", ready=True)

    def stop(self, name: str) -> None:
        """Stop a part if it runs."""
        if name in DATABASES:
            with suppress(PostgresError):
                self.server(name).stop()
        elif self._is_alive(name):
            end(int(self.parts[name]["pid"]), lambda: self._is_alive(name))

    def forget(self, name: str) -> None:
        """Delete a stopped part's state and data."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        self.parts.pop(name, None)
        self._save()

    def remove(self) -> None:
        """Stop every part, and delete the folder with all data in it."""
        for name in reversed(PARTS):
            self.stop(name)
        shutil.rmtree(self.folder)

    def _is_alive(self, name: str) -> bool:
        """Return whether the recorded process is alive. A later process with the same id does not count."""
        if name in DATABASES:
            try:
                return self.server(name).is_running()
            except PostgresError:
                return False
        part = self.parts.get(name, {})
        try:
            command = Path(f"/proc/{part.get('pid', 0)}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return b"local_aws" in command and str(part["port"]).encode() in command

    def _check_disk(self) -> None:
        free_mb = shutil.disk_usage(self.folder).free // 1_000_000
        if free_mb < MINIMUM_FREE_MB:
            raise StackError(f"the disk of {self.folder} has {free_mb} MB free: {MINIMUM_FREE_MB} MB are needed")

    def _record(self, name: str, **values: Any) -> None:
        self.parts.setdefault(name, {}).update(values)
        self._save()

    def _save(self) -> None:
        """Write the state in one step, so that a reader never sees half of it."""
        self.logs.mkdir(exist_ok=True)
        fresh = self.folder / f"{STATE}.new"
        fresh.write_text(json.dumps(self.parts, indent=2) + "\n")
        fresh.replace(self.folder / STATE)


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def answers(url: str) -> bool:
    """Return whether the address answers 200 within a second. Proxies in the environment are ignored, since the address is loopback."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1) as response:
            return int(response.status) == 200
    except (urllib.error.URLError, OSError):
        return False


def end(pid: int, is_alive: Callable[[], bool]) -> None:
    """Ask a process to end. Kill the process and its children if it takes too long. The process must lead its own session."""
    deadline = time.monotonic() + STOP_SECONDS
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        if is_alive():
            os.killpg(pid, signal.SIGKILL)


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"{log} is empty"
