"""The run request: what a person asks of one run. A command passes it as properties of the workflow run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from totesys.errors import FatalError
from totesys.errors.aws import aws_call
from totesys.lake.formats import RUN_REQUEST, refuse_newer

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient


@dataclass(frozen=True)
class RunRequest:
    """What a person asks of one workflow run. An ordinary run has the defaults.

    full            ingest reads every table in full
    accept_deletes  source tables that may lose any number of rows in this run
    replay          source tables whose dead letters are judged again: they are read in full
    backfill        whether transform rebuilds the lake from landed batches, and load the warehouse from the lake
    backfill_table  the only table to rebuild, of the source or the warehouse; None for all tables
    backfill_from   the first batch to rebuild from; 1 is the very first
    """

    full: bool = False
    accept_deletes: frozenset[str] = frozenset()
    replay: frozenset[str] = frozenset()
    backfill: bool = False
    backfill_table: str | None = None
    backfill_from: int = 1

    def properties(self) -> dict[str, str]:
        """Return the request as run properties: only those that differ from the defaults. An ordinary run has none."""
        texts = {
            "full": "true" if self.full else "",
            "accept_deletes": ",".join(sorted(self.accept_deletes)),
            "replay": ",".join(sorted(self.replay)),
            "backfill": "true" if self.backfill else "",
            "backfill_table": self.backfill_table or "",
            "backfill_from": str(self.backfill_from) if self.backfill_from != 1 else "",
        }
        asked = {name: text for name, text in texts.items() if text}
        return {"format": str(RUN_REQUEST), **asked} if asked else {}

    @staticmethod
    def parse(properties: dict[str, str]) -> RunRequest:
        """Return the request in run properties. Unknown properties are ignored. FatalError when a value is not valid.

        Properties without a format are accepted, since a person may start a run in the console.
        """
        try:
            refuse_newer("the run request", int(properties.get("format") or 1), RUN_REQUEST)
            return RunRequest(
                full=_flag(properties, "full"),
                accept_deletes=_names(properties, "accept_deletes"),
                replay=_names(properties, "replay"),
                backfill=_flag(properties, "backfill"),
                backfill_table=properties.get("backfill_table") or None,
                backfill_from=int(properties.get("backfill_from") or 1),
            )
        except ValueError as error:
            raise FatalError(
                f"a run property is wrong ({error}): start the run with scripts/totesys run or scripts/totesys backfill"
            ) from error


ORDINARY_RUN = RunRequest()


def read_run_request(glue: GlueClient, workflow: str | None, run_id: str | None) -> RunRequest:
    """Return the request of the workflow run that a job belongs to; the defaults for a job outside a workflow."""
    if not (workflow and run_id):
        return ORDINARY_RUN
    with aws_call(f"reading the run properties of workflow {workflow}"):
        return RunRequest.parse(glue.get_workflow_run_properties(Name=workflow, RunId=run_id)["RunProperties"])


def _names(properties: dict[str, str], name: str) -> frozenset[str]:
    return frozenset(filter(None, properties.get(name, "").split(",")))


def _flag(properties: dict[str, str], name: str) -> bool:
    text = properties.get(name, "")
    if text not in ("", "true", "false"):
        raise ValueError(f"{name} must be true or false")
    return text == "true"
