"""The templates: their parameters with the variables that set them, and their resources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from totesys.errors import FatalError

from operations.deployment import settings
from operations.deployment.stacks import STACKS

TEMPLATES = Path(__file__).parents[2] / "cloudformation"
DECIDED = {  # parameters that the deploy decides
    "IngestScript", "TransformScript", "LoadScript", "IngestWheels", "SparkWheels", "SourceJdbcUrl", "WarehouseJdbcUrl", "EnforceTls",
    "CreateLogGroups", "InVpc", "CodeVersion",
}  # fmt: skip


class _Loader(yaml.CSafeLoader):
    """Reads a template's structure, and does not resolve !Ref and other functions."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


@dataclass(frozen=True)
class Template:
    """One template: its parameters with their defaults (None: it must be given), and whether each resource depends on a condition."""

    name: str
    path: Path
    parameters: dict[str, str | None]
    resources: dict[str, bool]

    @staticmethod
    def read(name: str) -> Template:
        path = TEMPLATES / f"{name}.yaml"
        body: dict[str, Any] = _Loader(path.read_text("utf-8")).get_single_data()
        defaults = {key: None if value.get("Default") is None else str(value["Default"]) for key, value in body["Parameters"].items()}
        return Template(name, path, defaults, {key: "Condition" in value for key, value in body["Resources"].items()})


def variable(parameter: str) -> str:
    """Return the environment variable that sets a template's parameter: TOTESYS_QUERY_SCAN_LIMIT for QueryScanLimit."""
    return settings.variable(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", parameter))


def check_config(path: Path) -> None:
    """Raise FatalError, which names the known keys, when a config file has other keys."""
    parameters = {parameter for name in STACKS for parameter in Template.read(name).parameters} - DECIDED
    databases = {f"TOTESYS_{name}_{what}" for name in ("SOURCE", "WAREHOUSE") for what in ("URL", "CA")}
    known = {*databases, *map(variable, parameters)}
    unknown = sorted(settings.read_config(path).keys() - known)
    if unknown:
        raise FatalError(
            f"{path} has {', '.join(map(settings.key, unknown))}; known keys are {', '.join(map(settings.key, sorted(known)))}"
        )


def parameter_values(template: Template, known: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return a value for each parameter: from the deploy, else from the environment, else the default. FatalError when there is none."""
    values = {}
    for parameter, default in template.parameters.items():
        value = known.get(parameter, environment.get(variable(parameter), default))
        if value is None:
            raise FatalError(f"parameter {parameter} of {template.path.name} has no value: set {variable(parameter)}")
        values[parameter] = value
    return values
