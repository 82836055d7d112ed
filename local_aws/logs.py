"""Job output in CloudWatch Logs, under Glue's own log groups: one stream per run, one event per line, sent while the job runs."""

from pathlib import Path

from ministack.services import cloudwatch_logs

# Glue's names; they cannot be chosen. https://docs.aws.amazon.com/glue/latest/dg/monitor-continuous-logging.html
GROUPS = {"pythonshell": "/aws-glue/python-jobs", "glueetl": "/aws-glue/jobs"}


class LogStream:
    """Sends what a growing file has gained to one log stream."""

    def __init__(self, group: str, stream: str, source: Path) -> None:
        self._group = group
        self._stream = stream
        self._source = source
        self._sent = 0
        # Both answer "already exists" when they are there, which is as good.
        cloudwatch_logs._create_log_group({"logGroupName": group})
        cloudwatch_logs._create_log_stream({"logGroupName": group, "logStreamName": stream})

    def send(self, *, everything: bool = False) -> None:
        """Send the complete lines since last time; `everything` sends an unfinished last line too."""
        with self._source.open("rb") as file:
            file.seek(self._sent)
            fresh = file.read()
        if not everything:
            fresh = fresh[: fresh.rfind(b"\n") + 1]
        self._sent += len(fresh)
        events = [{"message": line} for line in fresh.decode(errors="replace").split("\n") if line]
        if events:
            cloudwatch_logs._put_log_events({"logGroupName": self._group, "logStreamName": self._stream, "logEvents": events})
