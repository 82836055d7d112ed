"""Output of job runs in CloudWatch Logs, in Glue's log groups: one stream per run, one event per line, sent while the job runs."""

from pathlib import Path

from ministack.services import cloudwatch_logs

from local_aws.iam.permissions import Denied, place
from local_aws.iam.requests import log_resource
from local_aws.iam.roles import Role

# Glue's names; they cannot be chosen. https://docs.aws.amazon.com/glue/latest/dg/monitor-continuous-logging.html
GROUPS = {"pythonshell": "/aws-glue/python-jobs", "glueetl": "/aws-glue/jobs"}


class LogStream:
    """Sends new lines of a growing file to a log stream, if the job's role may write there. Otherwise the run has no log."""

    def __init__(self, group: str, stream: str, source: Path, role: Role) -> None:
        self._group = group
        self._stream = stream
        self._source = source
        self._sent = 0
        self._may_send = self._may_write(role)
        if not self._may_send:
            return
        # Both answer "already exists" if they exist, and that is fine.
        cloudwatch_logs._create_log_group({"logGroupName": group})
        cloudwatch_logs._create_log_stream({"logGroupName": group, "logStreamName": stream})

    def _may_write(self, role: Role) -> bool:
        try:
            if self._group not in cloudwatch_logs._log_groups:
                role.check("logs:CreateLogGroup", log_resource(place(), self._group))
            for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
                role.check(action, log_resource(place(), self._group, self._stream))
        except Denied:
            return False
        return True

    def send(self, *, everything: bool = False) -> None:
        """Send the complete lines since the last call. `everything` also sends an unfinished last line."""
        if not self._may_send:
            return
        with self._source.open("rb") as file:
            file.seek(self._sent)
            fresh = file.read()
        if not everything:
            fresh = fresh[: fresh.rfind(b"\n") + 1]
        self._sent += len(fresh)
        events = [{"message": line} for line in fresh.decode(errors="replace").split("\n") if line]
        if events:
            cloudwatch_logs._put_log_events({"logGroupName": self._group, "logStreamName": self._stream, "logEvents": events})
