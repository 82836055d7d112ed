"""Find out what a deploy would change: create change sets and delete them again, and compare the catalog and the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import boto3
from rich.table import Table
from totesys.contracts import load_contracts
from totesys.errors import FatalError
from totesys.lake.store import Bucket
from totesys.runtime.secrets import Credentials

from operations.cli.console import make_table
from operations.deployment.artifacts import collect_artifacts, present_artifacts
from operations.deployment.change_sets import is_made, make_change_set
from operations.deployment.compatible import check_contracts
from operations.deployment.databases import pipeline_databases, planned_credentials, read_secret
from operations.deployment.parameters import chosen_parameters, code_parameters
from operations.deployment.register import registrations
from operations.deployment.stacks import STACKS, describe_stack, stack_outputs
from operations.deployment.templates import Template, parameter_values
from operations.deployment.views import current_views, find_table, is_current, view_digest

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import ResourceChangeTypeDef

Row = tuple[str, str, str]  # the thing, what happens to it, and details
_NO_CHANGE = {"unchanged", "kept", "checked"}
_UNKNOWN = Credentials("asked-for-by-the-deploy", 5432, "unknown", "", "", "require")


class Plan:
    """A deploy that changes nothing."""

    def __init__(self, session: boto3.Session, environment: Mapping[str, str]) -> None:
        self._session = session
        self._environment = environment
        self._chosen = chosen_parameters(environment)
        self._project = self._chosen["Project"]
        stacks = [f"{self._project}-{name}" for name in STACKS]
        self._outputs = {
            name: value for stack in stacks if is_made(session, stack) for name, value in stack_outputs(session, stack).items()
        }
        self._databases = pipeline_databases(self._project)
        secrets = session.client("secretsmanager")
        self._current = {database.name: read_secret(secrets, database.secret) for database in self._databases}
        self._planned = {
            database.name: planned_credentials(self._current[database.name], database, environment) for database in self._databases
        }
        bucket = self._outputs.get("ArtifactsBucket")
        present = present_artifacts(Bucket(session.client("s3"), bucket)) if bucket else set()
        self._artifacts = collect_artifacts(bucket or "artifacts", present, lambda path, key: None)

    def rows(self) -> list[Row]:
        """Return a row for each change, and counts of what stays. FatalError when a deploy would refuse the contracts."""
        self._check_contracts()
        return [*self._credentials(), *self._code(), *self._stacks(), *self._tables(), *self._views()]

    def _check_contracts(self) -> None:
        registered = None
        if "IngestionDatabase" in self._outputs:
            registered = {"ingestion": self._outputs["IngestionDatabase"], "star": self._outputs["StarDatabase"]}
        check_contracts(self._session.client("glue"), load_contracts(), registered, self._environment)

    def _credentials(self) -> Iterator[Row]:
        for database in self._databases:
            current, planned = self._current[database.name], self._planned[database.name]
            is_there = current and planned and current.place == planned.place
            what = "kept" if planned is current and current else "checked" if is_there else "checked, or made" if planned else "asked for"
            yield f"credentials of the {database.name}", what, f"secret {database.secret}" + (f", {planned.place}" if planned else "")

    def _code(self) -> Iterator[Row]:
        yield from (("code", "upload", key) for key in self._artifacts.new)
        if not self._artifacts.new:
            yield "code", "unchanged", self._outputs.get("CodeVersion", "")

    def _stacks(self) -> Iterator[Row]:
        credentials = {name: planned or _UNKNOWN for name, planned in self._planned.items()}
        known = {**self._chosen, **code_parameters(self._session, self._project, self._artifacts, credentials)}
        for name in STACKS:
            template = Template.read(name)
            parameters = parameter_values(template, known, self._environment)
            yield from stack_changes(self._session, f"{self._project}-{name}", template, parameters)

    def _tables(self) -> Iterator[Row]:
        prefix = self._project.replace("-", "_")
        databases = {
            name: self._outputs.get(f"{name.capitalize()}Database", f"{prefix}_{name}") for name in ("ingestion", "mirror", "star")
        }
        buckets = (self._outputs.get("IngestionBucket", ""), self._outputs.get("ProcessedBucket", ""))
        tables = registrations(self._session.client("glue"), load_contracts(), databases, *buckets)
        changing = [table for table in tables if table.outcome != "unchanged"]
        yield from ((f"table {table.database}.{table.wanted['Name']}", table.outcome, table.version_step) for table in changing)
        yield from counted("tables", len(tables) - len(changing))

    def _views(self) -> Iterator[Row]:
        star, mirror = (self._outputs.get(f"{name}Database") for name in ("Star", "Mirror"))
        contracts, glue = load_contracts(), self._session.client("glue")
        queries = current_views(contracts, star or "", mirror or "")
        found = {name: find_table(glue, star, name) if star else None for name in queries}
        stale = [
            fact.current_view for fact in contracts.facts.values()
            if not is_current(found[fact.current_view], view_digest(fact, queries[fact.current_view]))
        ]  # fmt: skip
        yield from ((f"view {name}", "replace" if found[name] else "create", "") for name in stale)
        yield from counted("views", len(queries) - len(stale))


def plan_table(project: str, rows: Sequence[Row]) -> Table:
    """Return the rows as a table."""
    return make_table([("what", "left"), ("change", "left"), ("more", "left")], rows, title=f"plan for {project}: nothing is changed")


def has_changes(rows: Sequence[Row]) -> bool:
    """Whether a deploy would change anything. A plan does not check whether the credentials still work."""
    return any(change not in _NO_CHANGE for _, change, _ in rows)


def counted(what: str, unchanged: int) -> list[Row]:
    return [(what, "unchanged", f"{unchanged}")] if unchanged else []


def stack_changes(session: boto3.Session, stack: str, template: Template, parameters: Mapping[str, str]) -> list[Row]:
    """Return the changes of one stack. The change set is deleted again."""
    new = f"stack {stack}", "create", ", ".join(template.resources)
    before = describe_stack(session, stack)
    if before and before["StackStatus"] == "ROLLBACK_COMPLETE":
        return [new]  # the deploy deletes this stack first; until then it accepts no change set
    change_set = make_change_set(session, stack, template, parameters)
    change_set.delete()
    changes, refusal = change_set.changes, change_set.refusal
    if "No export named" in refusal:  # the export of a stack that this deploy creates or extends first
        return [new if change_set.is_new else (f"stack {stack}", "unknown", f"known once the stacks before it are deployed: {refusal}")]
    if refusal and not change_set.is_empty:
        raise FatalError(f"stack {stack} cannot be planned: {refusal}")
    if change_set.is_new:
        return [(f"stack {stack}", "create", ", ".join(change["LogicalResourceId"] for change in changes))]
    rows = [(f"stack {stack}", change["Action"].lower(), described(change)) for change in changes]
    return rows or [(f"stack {stack}", "unchanged", "")]


def described(change: ResourceChangeTypeDef) -> str:
    """Return a resource, what changes in it, and whether it is replaced."""
    targets = [detail["Target"] for detail in change.get("Details", ())]
    names = sorted({target.get("Name") or target["Attribute"] for target in targets})
    replaced = " - REPLACED" if change.get("Replacement") == "True" else ""
    return f"{change['LogicalResourceId']} ({change['ResourceType']})" + (f": {', '.join(names)}" if names else "") + replaced
