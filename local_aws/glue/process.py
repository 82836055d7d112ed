"""A job run as an operating-system process, with the packages, arguments and environment that Glue would give it.

A run's folder (`DIR/jobs/<run id>/`) holds its script, its output and, for Spark, its configuration.
"""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_aws.environment import aws_environment
from local_aws.glue.spark import AS_ROLE, spark_environment
from local_aws.glue.wheels import install
from local_aws.iam.roles import Role
from local_aws.s3 import objects

_VENV = Path(__file__).parents[2] / ".venv"
PYTHONS = {kind: _VENV / f"glue-{kind}" / "bin" / "python" for kind in ("shell", "spark")}  # each has the packages of Glue's image
INSTALLED = _VENV / "installed"  # wheels by content, shared by all local machines, because an installation takes seconds
RUNNER = Path(__file__).with_name("glue_script.py")

# Arguments that configure Glue itself and never reach the script. `--TempDir` and the bookmark options do reach it.
# https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-arguments.html
_CONSUMED = frozenset(
    {
        "--additional-python-modules",
        "--class",
        "--conf",
        "--customer-driver-env-vars",
        "--customer-executor-env-vars",
        "--datalake-formats",
        "--extra-files",
        "--extra-jars",
        "--extra-py-files",
        "--job-language",
        "--library-set",
        "--python-modules-installer-option",
        "--scriptLocation",
        "--spark-event-logs-path",
        "--use-postgres-driver",
        "--user-jars-first",
    }
)
_CONSUMED_PREFIXES = ("--enable-", "--disable-", "--continuous-log-", "--write-shuffle-", "--auto-scale-")

# Never inherited from the launcher. Its own settings would change what a job sees.
_OWN_VARIABLES = ("AWS_", "PYTHON", "SPARK_", "PYSPARK_", "JAVA_", "_JAVA_", "JDK_", "MINISTACK_", "VIRTUAL_ENV", "LANG", "LC_")

_LOG_LINE = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d |\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\S* (DEBUG|INFO|WARN)|\.\.\. \d+ more")
_TAIL_BYTES = 64 * 1024


@dataclass(frozen=True)
class Machine:
    """The folder of this local AWS, and its URL for jobs."""

    local_dir: Path
    endpoint: str


@dataclass(frozen=True)
class Command:
    """A process to start. `settings` are the Spark settings of the job's own, or None if it is no Spark job."""

    argv: list[str]
    env: dict[str, str]
    folder: Path
    role: Role
    settings: dict[str, str] | None = None

    @property
    def stdout(self) -> Path:
        return self.folder / "stdout"

    @property
    def stderr(self) -> Path:
        return self.folder / "stderr"

    def spawn(self, argv: Sequence[str], env: Mapping[str, str], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start a process as the leader of its own session, so that all its children can be stopped with it."""
        with self.stdout.open("ab") as stdout, self.stderr.open("ab") as stderr:
            return subprocess.Popen(argv, cwd=self.folder, env=env, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True)


def is_spark(job: Mapping[str, Any]) -> bool:
    return job["Command"].get("Name") == "glueetl"


def prepare(machine: Machine, run_id: str, job: Mapping[str, Any], arguments: Mapping[str, str], role: Role) -> Command:
    """Fetch the script and the wheels, write the configuration, and return the command to start.

    `arguments` is everything of the run, Glue's own options included.
    Raises NoSuchObject or NotAWheel, with one line, when what the job names is not there, and Denied when the role may not read it.
    """
    folder = machine.local_dir / "jobs" / run_id
    folder.mkdir(parents=True)
    location = job["Command"]["ScriptLocation"]
    script = folder / Path(location).name
    modules = [arguments.get(name, "") for name in ("--extra-py-files", "--additional-python-modules")]
    for uri in [location, *",".join(modules).split(",")]:
        if uri.strip().startswith("s3://"):
            role.check("s3:GetObject", "arn:aws:s3:::{}/{}".format(*objects.split(uri.strip())))
    script.write_bytes(objects.read(objects.find(location)))
    python = PYTHONS["spark" if is_spark(job) else "shell"]
    settings = None
    own = aws_environment(machine.endpoint)
    if is_spark(job):
        settings = _spark_settings(arguments.get("--conf", ""))
        own = spark_environment(folder / "conf", machine.endpoint, {**AS_ROLE, **settings}, python=python)
    import_from = install(",".join(modules), INSTALLED, python)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_VARIABLES)}
    env = {
        **inherited,
        **own,
        **role.environment,
        "LOCAL_DIR": str(machine.local_dir),
        "PYTHONUNBUFFERED": "1",  # a log line arrives as soon as it is written
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
    }
    folders = os.pathsep.join(map(str, import_from))
    return Command([str(python), str(RUNNER), folders, str(script), *_script_arguments(arguments)], env, folder, role, settings)


def _script_arguments(arguments: Mapping[str, str]) -> list[str]:
    passed = {k: v for k, v in arguments.items() if k not in _CONSUMED and not k.startswith(_CONSUMED_PREFIXES)}
    return [word for name, value in passed.items() for word in (name, str(value))]


def _spark_settings(conf: str) -> dict[str, str]:
    """Parse Glue's `--conf`, which holds all settings in one value: `a=1 --conf b=2`."""
    pairs = (item.strip().partition("=") for item in conf.split("--conf") if item.strip())
    return {name: value for name, _, value in pairs}


def kill_group(leader: int) -> None:
    """Stop a process and everything that it started, if any of it still runs."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def failure(returncode: int, stderr: Path) -> str:
    """Return one line that says why a process failed: its last line of output, or else how it ended."""
    if returncode < 0:
        return f"Command was killed by signal {-returncode} ({signal.Signals(-returncode).name})"
    return _last_words(stderr) or f"Command failed with exit code {returncode}"


def _last_words(stderr: Path) -> str:
    """Return the last line of stderr that is not blank, not part of a stack trace and not a log line below an error."""
    with stderr.open("rb") as file:
        file.seek(max(0, stderr.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    for line in reversed(lines):
        if line.strip() and not line[0].isspace() and not _LOG_LINE.match(line):
            return line.strip()
    return ""
