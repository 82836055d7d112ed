"""Parse the jobs' arguments as Glue passes them: `--name value` pairs among Glue's own options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Arguments = TypeVar("Arguments", bound="DataclassInstance")


@dataclass(frozen=True)
class IngestArguments:
    """The arguments of ingest. Inside a workflow, Glue adds the workflow's name and run."""

    project: str
    ingestion_bucket: str
    processed_bucket: str
    ingestion_database: str
    source_secret: str
    warehouse_secret: str
    publish_workflow: str
    WORKFLOW_NAME: str | None = None
    WORKFLOW_RUN_ID: str | None = None


@dataclass(frozen=True)
class TransformArguments:
    """The arguments of transform. Inside a workflow, Glue adds the workflow's name and run."""

    project: str
    ingestion_bucket: str
    processed_bucket: str
    mirror_database: str
    star_database: str
    WORKFLOW_NAME: str | None = None
    WORKFLOW_RUN_ID: str | None = None


@dataclass(frozen=True)
class LoadArguments:
    """The arguments of load. Inside a workflow, Glue adds the workflow's name and run."""

    project: str
    processed_bucket: str
    warehouse_secret: str
    WORKFLOW_NAME: str | None = None
    WORKFLOW_RUN_ID: str | None = None


def parse_arguments(arguments: type[Arguments], argv: Sequence[str]) -> Arguments:
    """Return the dataclass, filled from the command line. Glue's own options are ignored. Exits 2 and names what is missing."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for item in fields(arguments):
        parser.add_argument(f"--{item.name}", required=item.default is MISSING)
    known, _ = parser.parse_known_args(list(argv))
    return arguments(**{name: value for name, value in vars(known).items() if value is not None})
