"""The launcher: one process, one port on loopback, state in memory, until SIGTERM."""

import argparse
import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
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
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
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
        LOG_LEVEL="WARNING",
        TZ="UTC",
    )


def _serve(listener: socket.socket, local_dir: Path, port: int, schedule: bool, clock: Callable[[], datetime]) -> int:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    from local_aws import seams

    try:
        from local_aws.gateway import install
        from local_aws.process import Machine

        local_dir.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(local_dir / "athena", ignore_errors=True)  # copies of objects that are gone with the last process
        engine = install(Machine(local_dir, f"http://{HOST}:{port}"), clock)
    except (seams.Moved, ImportError, OSError) as error:
        print(f"local_aws: cannot start: {error}", file=sys.stderr)
        return 1
    from ministack.app import app

    logging.getLogger("hypercorn.access").disabled = True
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 0.5
    config.loglevel = "WARNING"
    stop = asyncio.Event()

    async def run() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        if schedule:
            engine.scheduler.start()
        await serve(app, config, shutdown_trigger=stop.wait)

    try:
        asyncio.run(run())
    finally:
        engine.scheduler.stop()
        engine.jobs.shut_down()
    return 0
