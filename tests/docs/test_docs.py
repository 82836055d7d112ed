"""The documents cannot rot: what the repository offers stands in them, and what they name exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from totesys.ingest.drift import OUTCOMES

from operations.deployment.templates import TEMPLATES, Template

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
SCRIPTS = sorted(path.name for path in (ROOT / "scripts").glob("*.sh"))
DECIDED_BY_THE_DEPLOY = {
    "IngestScript", "TransformScript", "LoadScript", "IngestWheels", "SparkWheels", "SourceJdbcUrl", "WarehouseJdbcUrl", "EnforceTls",
    "CreateLogGroups", "InVpc", "CodeVersion",
}  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_and_each_of_its_options_stands_in_the_readme(script: str) -> None:
    assert f"scripts/{script}" in README
    shown = subprocess.run([ROOT / "scripts" / script, "--help"], capture_output=True, text=True, check=True).stdout
    for option in set(re.findall(r"--[a-z-]+", shown)) - {"--help"}:
        assert option in README, option


def test_every_parameter_of_the_templates_stands_in_the_readme() -> None:
    parameters = {name for path in TEMPLATES.glob("*.yaml") for name in Template.read(path.stem).parameters}
    assert not {name for name in parameters - DECIDED_BY_THE_DEPLOY if f"`{name}`" not in README}


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_file_that_a_document_names_exists(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")
    linked = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(r"(?:\./)?(scripts/[a-z_]+\.sh)", text)
    assert linked and not [name for name in linked if not (ROOT / name).exists()]


def test_every_kind_of_drift_stands_in_the_readme_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+? \| (ignore|evolve|hold|fail) \|", README, re.MULTILINE)
    assert dict(rows) == OUTCOMES and len(rows) == len(OUTCOMES)


def test_no_file_of_the_repository_names_a_registry() -> None:
    hosts = "|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "registry" + r"\.npmjs", "deb" + r"\.debian"))
    found = subprocess.run(["git", "grep", "-lIE", hosts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stdout == ""
