"""The JVMs of local Spark jobs. One whose run ended well takes the next run with the same settings, which spares that half of its time; so
does one whose run failed before it used Spark.

A job's Python finds its JVM as below spark-submit: by PYSPARK_GATEWAY_PORT. Each run has a SparkContext of its own; what it printed and
logged from the JVM is among its output. On Glue every run starts with a JVM of its own.
"""

import struct
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from py4j.clientserver import ClientServer, JavaParameters, PythonParameters
from py4j.protocol import Py4JError

from local_aws.glue.process import Command, failure, kill_group
from local_aws.glue.spark import SPARK_HOME
from local_aws.iam.roles import Role

_RUNS = 50  # of one JVM: some megabytes that each leaves in it are not given back
_START_SECONDS = 60
_LOOK_EVERY = 0.05  # seconds
_DEAD = (OSError, Py4JError)  # what a JVM answers that has ended


class NoJvm(Exception):
    """A JVM that did not start, and its last words."""


@dataclass
class Jvm:
    """A JVM that waits for a run, or has one."""

    settings: Mapping[str, str] | None
    process: subprocess.Popen[bytes]
    port: int
    secret: str
    runs: int = 1

    @classmethod
    def start(cls, command: Command) -> "Jvm":
        """Starts it for a run, into whose files it prints. Ends when this process does."""
        address = command.folder / "gateway"
        argv = [str(SPARK_HOME / "bin" / "spark-submit"), "pyspark-shell"]
        env = {**command.env, "_PYSPARK_DRIVER_CONN_INFO_PATH": str(address)}
        process = command.spawn(argv, env, stdin=subprocess.PIPE)
        deadline = time.monotonic() + _START_SECONDS
        while not address.exists():  # Spark renames it into its place
            if process.poll() is not None or time.monotonic() > deadline:
                kill_group(process.pid)
                raise NoJvm(f"Spark's JVM did not start: {failure(process.wait(), command.stderr)}")
            time.sleep(_LOOK_EVERY)
        port, length = struct.unpack_from(">ii", written := address.read_bytes())
        jvm = cls(command.settings, process, port, written[8 : 8 + length].decode())
        try:
            with closing(jvm._gateway()) as gateway:
                _act_as(command.role, gateway)
        except _DEAD as error:
            jvm.end()
            raise NoJvm(f"Spark's JVM ended at once: {failure(process.returncode, command.stderr)}") from error
        return jvm

    @property
    def environment(self) -> dict[str, str]:
        """What a run's Python finds it by."""
        return {"PYSPARK_GATEWAY_PORT": str(self.port), "PYSPARK_GATEWAY_SECRET": self.secret}

    def begin(self, command: Command) -> bool:
        """Lets it print into another run's files, and act by its role. False when it has died."""
        self.runs += 1
        try:
            with closing(self._gateway()) as gateway:
                _act_as(command.role, gateway)
                java = gateway.jvm.java
                java.lang.System.setOut(java.io.PrintStream(java.io.FileOutputStream(str(command.stdout), True), True))
                java.lang.System.setErr(java.io.PrintStream(java.io.FileOutputStream(str(command.stderr), True), True))
        except _DEAD:
            return False
        return True

    def clean(self, *, is_well: bool) -> bool:
        """Stops the SparkContext that a run has left, and with it all that the run had cached. One that was not well may not stop: False
        then, as when the JVM has died."""
        try:
            with closing(self._gateway()) as gateway:
                session = gateway.jvm.org.apache.spark.sql.SparkSession.getDefaultSession()
                if session.isEmpty() or session.get().sparkContext().isStopped():
                    return True
                if is_well:
                    session.get().stop()
                return is_well
        except _DEAD:
            return False

    def end(self) -> None:
        kill_group(self.process.pid)
        self.process.wait()

    def _gateway(self) -> Any:
        return ClientServer(JavaParameters(port=self.port, auth_token=self.secret), PythonParameters(port=0, eager_load=False))


def _act_as(role: Role, gateway: Any) -> None:
    """Give the JVM a role's credentials, in the place of those that it had: S3A reads them at every request."""
    for name, value in role.java_properties.items():
        gateway.jvm.java.lang.System.setProperty(name, value)


class Jvms:
    """The one that waits for a run, if one does."""

    def __init__(self) -> None:
        self._idle: Jvm | None = None
        self._lock = threading.Lock()

    def take(self, command: Command) -> Jvm:
        """One for a run: that waits, if it has the run's settings, or else a new one. Raises NoJvm, with one line."""
        waiting = self._exchange(None)
        if waiting:
            if waiting.settings == command.settings and waiting.begin(command):
                return waiting
            waiting.end()
        return Jvm.start(command)

    def give_back(self, jvm: Jvm, *, is_well: bool) -> None:
        """After a run that ended by itself. It waits, in the place of another, when the run was well or never used it; else it ends."""
        ended: Jvm | None = jvm
        if jvm.runs < _RUNS and jvm.clean(is_well=is_well):
            ended = self._exchange(jvm)
        if ended:
            ended.end()

    def shut_down(self) -> None:
        """Ends the one that waits."""
        waiting = self._exchange(None)
        if waiting:
            waiting.end()

    def _exchange(self, jvm: Jvm | None) -> Jvm | None:
        with self._lock:
            before, self._idle = self._idle, jvm
        return before
