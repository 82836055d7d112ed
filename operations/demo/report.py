"""The demo's report: rows at each stage, time of each step, the change before and after, Athena's answer, and the verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql
from rich.console import Console
from rich.table import Table
from totesys.contracts import load_contracts
from totesys.lake.manifests import batches_after, newest_publish
from totesys.lake.store import Bucket

from operations.aws import aws_session
from operations.cli.console import Heading, make_table
from operations.demo.changes import CHANGES, LATE, Rows
from operations.deployment.deployment import Deployment

# the stages with the source's tables, and the stages with the warehouse's tables
_BEFORE = ("source", "landed", "mirror")
_AFTER = ("star", "warehouse")


@dataclass(frozen=True)
class StageCounts:
    """Rows by stage and table. `landed` counts the rows of all batches so far; star and warehouse count every version of a fact."""

    by_stage: dict[str, dict[str, int]]

    def text(self, stage: str, table: str | None) -> str:
        """Return the number as text; empty if the stage does not have the table."""
        found = self.by_stage[stage].get(table or "")
        return "" if found is None else f"{found:,}"


def stage_counts(source: Any, warehouse: Any) -> StageCounts:
    """Count the rows: of the databases with queries, of the lake from its manifests."""
    session = aws_session()
    deployment = Deployment.read(session)
    s3 = session.client("s3")
    landed: Counter[str] = Counter()
    for batch in batches_after(Bucket(s3, deployment.ingestion_bucket), 0):
        landed.update({table: capture.rows for table, capture in batch.tables.items()})
    publish = newest_publish(Bucket(s3, deployment.processed_bucket))
    lake = {
        "mirror": publish.mirror if publish else {},
        "star": publish.star if publish else {},
    }
    contracts = load_contracts()
    return StageCounts(
        {
            "source": _counted(source, contracts.source),
            "landed": dict(landed),
            **{
                stage: {table: sum(part.rows for part in parts.values()) for table, parts in tables.items()}
                for stage, tables in lake.items()
            },
            "warehouse": _counted(warehouse, contracts.warehouse),
        }
    )


def _counted(connection: Any, tables: dict[str, Any]) -> dict[str, int]:
    counts = {}
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
            counts[table] = cursor.fetchone()[0]
    return counts


@dataclass(frozen=True)
class Story:
    """The content of the report. `counts` have titles; `before` and `after` show the same tables; `answer` and the rest are lines."""

    counts: list[tuple[str, StageCounts]]
    seconds: dict[str, float]
    day: str
    before: list[Rows]
    after: list[Rows]
    answer: list[str]
    verdict: str


def print_report(console: Console, story: Story) -> None:
    """Print the report, with the verdict at the end."""
    console.print()
    for title, counts in story.counts:
        console.print(_stages(title, counts))
    took = [[name, f"{seconds:.1f}"] for name, seconds in story.seconds.items()]
    took.append(["in all", f"{sum(story.seconds.values()):.1f}"])
    console.print(make_table([("step", "left"), ("seconds", "right")], took, title="How long each step took"))
    console.print("[bold]What happened at the source[/bold]")
    for change in (story.day, LATE, *(change for change, _ in CHANGES)):
        console.print(f"  - {change}", markup=False)
    console.print()
    for before, after in zip(story.before, story.after):
        rows = [["before", *row] for row in before.values] + [["after", *row] for row in after.values]
        console.print(make_table([("", "left"), *((column, "left") for column in before.columns)], rows, title=before.title))
    console.print("[bold]Athena: payments by currency and type[/bold]")
    for line in story.answer:
        console.print(line.rstrip(), markup=False)
    console.print()
    console.print(story.verdict, style="bold", markup=False)


def _stages(title: str, counts: StageCounts) -> Table:
    """Return a row per source table, with the warehouse table that has its key. The calendar, which has no source, is last."""
    contracts = load_contracts()
    made_of = {contract.inputs[0]: table for table, contract in contracts.warehouse.items() if contract.inputs}
    pairs: list[tuple[str | None, str | None]] = [(table, made_of.get(table)) for table in contracts.source]
    pairs += [(None, table) for table, contract in contracts.warehouse.items() if not contract.inputs]
    rows = [
        [source or "", *(counts.text(stage, source) for stage in _BEFORE), star or "", *(counts.text(stage, star) for stage in _AFTER)]
        for source, star in pairs
    ]
    columns: list[Heading] = [("source table", "left"), *((stage, "right") for stage in _BEFORE)]
    columns += [("warehouse table", "left"), *((stage, "right") for stage in _AFTER)]
    return make_table(columns, rows, title=f"Rows {title}")
