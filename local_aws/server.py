"""The launcher: one process, one port on loopback, state in memory, until SIGTERM."""

import argparse
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

HOST = "127.0.0.1"
HEALTH = "/_ministack/health"


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def main(argv: Sequence[str], clock: Callable[[], datetime] = utc_now) -> int:
    """Serve until SIGTERM or SIGINT. Exit code 1, with one line, when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m local_aws", description=f"AWS on this machine. Ready when GET {HEALTH} answers 200.")
    parser.add_argument("--port", type=int, required=True, help=f"port on {HOST}, the only one; Spark jobs have their own, on {HOST} too")
    parser.add_argument("--local-dir", type=Path, required=True, help="folder for jobs, wheels and caches; jobs get it as LOCAL_DIR")
    parser.add_argument("--schedule", action="store_true", help="let SCHEDULED triggers fire")
    arguments = parser.parse_args(argv)
    # TCP by name: asyncio sends small parts at once only where the socket says so.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, arguments.port))
        listener.listen()  # at once, so that a second launcher is refused while this one still imports
    except OSError as error:
        where = f"{HOST}:{arguments.port}"
        print(f"local_aws: cannot listen on {where}: {error.strerror}. Stop what uses it, or pass another --port.", file=sys.stderr)
        return 1
    _configure(arguments.port)
    return _serve(listener, arguments.local_dir.resolve(), arguments.port, arguments.schedule, clock)


def _configure(port: int) -> None:
    """ministack reads its settings from the environment, as it is imported."""
    os.environ.update(
        GATEWAY_PORT=str(port),
        BIND_HOST=HOST,
        MINISTACK_REGION="eu-west-2",
        MINISTACK_ACCOUNT_ID="000000000000",
        IOT_MTLS_ENABLED="0",  # it would listen on every interface
        SFTP_ENABLED="0",
        DOCKER_HOST="unix:///nonexistent",  # nothing here runs in a container, and looking for a daemon takes time
        AUTH="true",  # rights are enforced: iam/permissions.py
        LOG_LEVEL="WARNING",
        TZ="UTC",
    )


def _serve(listener: socket.socket, local_dir: Path, port: int, schedule: bool, clock: Callable[[], datetime]) -> int:
    import uvicorn

    from local_aws import seams

    try:
        from local_aws.gateway import install
        from local_aws.glue.process import Machine

        local_dir.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(local_dir / "athena", ignore_errors=True)  # copies of objects that are gone with the last process
        engine = install(Machine(local_dir, f"http://{HOST}:{port}"), clock)
    except (seams.Moved, ImportError, OSError) as error:
        print(f"local_aws: cannot start: {error}", file=sys.stderr)
        return 1
    from ministack.app import app

    # ministack's own server, hypercorn, takes two thirds of a request's time to read and to answer it. Not uvloop: it reads the next
    # request before ministack has ended a stack's last step, and a waiter then waits for half a minute before it looks again.
    config = uvicorn.Config(
        app, http="httptools", loop="asyncio", timeout_keep_alive=75, timeout_graceful_shutdown=1, log_level="warning", access_log=False,
        server_header=False, date_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server raises the signal again once it has ended
    if schedule:
        engine.scheduler.start()
    try:
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    finally:
        engine.scheduler.stop()
        engine.jobs.shut_down()
    return 0
