"""What a person demands of one run: the run properties that a command starts a workflow with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from totesys.errors import FatalError
from totesys.errors.aws import aws_call
from totesys.lake.formats import DEMANDS, refuse_newer


@dataclass(frozen=True)
class Demands:
    """The demands of one workflow run; an ordinary run has none.

    full            ingest reads every table in full
    accept_deletes  source tables that may lose any number of rows in this run
    replay          source tables whose dead letters are judged again: they are read in full
    backfill        whether transform makes the lake anew from landed batches, and load the warehouse from the lake
    backfill_table  the only table to make anew, of the source or of the warehouse; all when None
    backfill_from   the first batch whose work is done anew; 1 is the first of all
    """

    full: bool = False
    accept_deletes: frozenset[str] = frozenset()
    replay: frozenset[str] = frozenset()
    backfill: bool = False
    backfill_table: str | None = None
    backfill_from: int = 1

    def properties(self) -> dict[str, str]:
        """Return the demands as run properties. Only what differs from an ordinary run is there; an ordinary run has none."""
        texts = {
            "full": "true" if self.full else "",
            "accept_deletes": ",".join(sorted(self.accept_deletes)),
            "replay": ",".join(sorted(self.replay)),
            "backfill": "true" if self.backfill else "",
            "backfill_table": self.backfill_table or "",
            "backfill_from": str(self.backfill_from) if self.backfill_from != 1 else "",
        }
        demanded = {name: text for name, text in texts.items() if text}
        return {"format": str(DEMANDS), **demanded} if demanded else {}

    @staticmethod
    def parse(properties: dict[str, str]) -> Demands:
        """Return the demands in run properties; other properties are ignored. FatalError when one has no value that we know.

        Properties without a format are read as well: a person may start a run in the console.
        """
        try:
            refuse_newer("what this run demands", int(properties.get("format") or 1), DEMANDS)
            return Demands(
                full=_flag(properties, "full"),
                accept_deletes=_names(properties, "accept_deletes"),
                replay=_names(properties, "replay"),
                backfill=_flag(properties, "backfill"),
                backfill_table=properties.get("backfill_table") or None,
                backfill_from=int(properties.get("backfill_from") or 1),
            )
        except ValueError as error:
            raise FatalError(
                f"a run property is wrong ({error}): start the run by scripts/totesys run or scripts/totesys backfill"
            ) from error


NO_DEMANDS = Demands()


def read_demands(glue: Any, workflow: str | None, run_id: str | None) -> Demands:
    """What the workflow run demands that a job is part of; nothing for a job that runs on its own."""
    if not (workflow and run_id):
        return NO_DEMANDS
    with aws_call(f"reading the run properties of workflow {workflow}"):
        return Demands.parse(glue.get_workflow_run_properties(Name=workflow, RunId=run_id)["RunProperties"])


def _names(properties: dict[str, str], name: str) -> frozenset[str]:
    return frozenset(filter(None, properties.get(name, "").split(",")))


def _flag(properties: dict[str, str], name: str) -> bool:
    text = properties.get(name, "")
    if text not in ("", "true", "false"):
        raise ValueError(f"{name} must be true or false")
    return text == "true"
