"""The templates as data."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "cloudformation"
PATHS = sorted(FOLDER.glob("*.yaml"))
NAMES = [path.stem for path in PATHS]


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as the long ones that they stand for."""


def long_form(loader: Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt":
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


Loader.add_multi_constructor("!", long_form)


@cache
def template(name: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.load((FOLDER / f"{name}.yaml").read_text(), Loader)
    return body


def resources(name: str, kind: str) -> dict[str, Any]:
    """The properties of a template's resources of one kind, by logical id."""
    return {key: value["Properties"] for key, value in template(name)["Resources"].items() if value["Type"] == kind}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(role: dict[str, Any]) -> list[dict[str, Any]]:
    """What a role is allowed, its conditional policies included."""
    policies = [policy["Fn::If"][1] if "Fn::If" in policy else policy for policy in role["Policies"]]
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def actions(role: dict[str, Any], *, on: str = "") -> set[str]:
    """The actions allowed on resources whose text holds `on`."""
    return {action for item in statements(role) if on in str(item["Resource"]) for action in listed(item["Action"])}
