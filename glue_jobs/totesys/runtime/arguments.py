"""The jobs' arguments as Glue passes them: `--name value` pairs among options of Glue's own."""

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
    """What ingest is told. Inside a workflow Glue adds its name and run."""

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
    """What transform is told. Inside a workflow Glue adds its name and run."""

    project: str
    ingestion_bucket: str
    processed_bucket: str
    mirror_database: str
    star_database: str
    WORKFLOW_NAME: str | None = None
    WORKFLOW_RUN_ID: str | None = None


@dataclass(frozen=True)
class LoadArguments:
    """What load is told. Inside a workflow Glue adds its name and run."""

    project: str
    processed_bucket: str
    warehouse_secret: str
    WORKFLOW_NAME: str | None = None
    WORKFLOW_RUN_ID: str | None = None


def parse_arguments(arguments: type[Arguments], argv: Sequence[str]) -> Arguments:
    """The dataclass filled from the command line, Glue's own options left aside; exits 2 naming what is missing."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for item in fields(arguments):
        parser.add_argument(f"--{item.name}", required=item.default is MISSING)
    known, _ = parser.parse_known_args(list(argv))
    return arguments(**{name: value for name, value in vars(known).items() if value is not None})
