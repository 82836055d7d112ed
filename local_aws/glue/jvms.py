"""The JVMs of local Spark jobs. A JVM is reused by the next run if its settings are the same. That halves the run's time.

A job's Python finds its JVM by PYSPARK_GATEWAY_PORT, as a script does that spark-submit starts. Each run has its own SparkContext, and
what the JVM prints and logs during a run is part of the run's output. On Glue every run starts a new JVM.
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

_RUNS = 50  # that one JVM serves: each run leaves some megabytes in it
_START_SECONDS = 60
_LOOK_EVERY = 0.05  # seconds
_DEAD = (OSError, Py4JError)  # raised by a call to a JVM that has ended


class NoJvm(Exception):
    """A JVM did not start. The message ends with its last line of output."""


@dataclass
class Jvm:
    """A JVM that is idle or serves a run."""

    settings: Mapping[str, str] | None
    process: subprocess.Popen[bytes]
    port: int
    secret: str
    runs: int = 1

    @classmethod
    def start(cls, command: Command) -> "Jvm":
        """Start a JVM that prints into the files of a run. It ends when this process does."""
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
        """The variables by which a run's Python finds this JVM."""
        return {"PYSPARK_GATEWAY_PORT": str(self.port), "PYSPARK_GATEWAY_SECRET": self.secret}

    def begin(self, command: Command) -> bool:
        """Make the JVM print into the files of another run, and act by that run's role. Return False when the JVM has died."""
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
        """Stop the SparkContext that a run has left, with all that the run had cached. Return whether the JVM can be reused.

        After a failed run the SparkContext may not stop. So a JVM with one is not reused then.
        """
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
    """Replace the JVM's credentials by those of a role. S3A reads them at every request."""
    for name, value in role.java_properties.items():
        gateway.jvm.java.lang.System.setProperty(name, value)


class Jvms:
    """Keeps at most one idle JVM."""

    def __init__(self) -> None:
        self._idle: Jvm | None = None
        self._lock = threading.Lock()

    def take(self, command: Command) -> Jvm:
        """Return the idle JVM if it has the run's settings, or else a new one. Raise NoJvm, with one line, when none starts."""
        idle = self._exchange(None)
        if idle:
            if idle.settings == command.settings and idle.begin(command):
                return idle
            idle.end()
        return Jvm.start(command)

    def give_back(self, jvm: Jvm, *, is_well: bool) -> None:
        """Take a JVM back after its run has ended by itself.

        The JVM stays idle, and replaces the one that was idle before, if the run succeeded or never used Spark. Otherwise it is stopped.
        """
        unused: Jvm | None = jvm
        if jvm.runs < _RUNS and jvm.clean(is_well=is_well):
            unused = self._exchange(jvm)
        if unused:
            unused.end()

    def shut_down(self) -> None:
        """Stop the idle JVM."""
        idle = self._exchange(None)
        if idle:
            idle.end()

    def _exchange(self, jvm: Jvm | None) -> Jvm | None:
        with self._lock:
            before, self._idle = self._idle, jvm
        return before
