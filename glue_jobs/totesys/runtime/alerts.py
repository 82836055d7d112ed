"""Send alerts: what a person must know although no job failed. They are events on EventBridge; a rule of the stack mails them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from totesys.errors import RetriableError
from totesys.errors.aws import aws_call
from totesys.runtime.logs import log_fields

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

EVENT_SOURCE = "totesys.alert"
_PER_CALL = 10  # the most that PutEvents takes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Alert:
    """One alert. `kind` is the event's detail-type. `text` says what happened, where and what to do, and contains no value of a row."""

    kind: str  # "table held", "rows in the dead letter", "source changed", "rows wait for a parent" or "full read found a miss"
    table: str
    batch_seq: int
    text: str


def send(events: EventBridgeClient, project: str, alerts: Sequence[Alert]) -> None:
    """Put the alerts on the default event bus, before the commit that they report. So an alert may come twice, but none is lost."""
    for alert in alerts:
        log.warning("alert, %s: %s", alert.kind, alert.text, extra=log_fields("alert", batch=alert.batch_seq, table=alert.table))
    for start in range(0, len(alerts), _PER_CALL):
        entries: list[PutEventsRequestEntryTypeDef] = [
            {
                "Source": EVENT_SOURCE,
                "DetailType": alert.kind,
                "Detail": json.dumps({"project": project, **_detail(alert)}),
                "Resources": [],
            }
            for alert in alerts[start : start + _PER_CALL]
        ]
        with aws_call("sending an alert to EventBridge"):
            answer = events.put_events(Entries=entries)
        if answer["FailedEntryCount"]:
            raise RetriableError("EventBridge did not accept an alert: the next run sends it again")


def _detail(alert: Alert) -> dict[str, Any]:
    """Return the alert without double quotes and backslashes in its text: EventBridge puts the text into quotes, and escapes nothing."""
    return {**asdict(alert), "text": alert.text.replace('"', "'").replace("\\", "/")}
