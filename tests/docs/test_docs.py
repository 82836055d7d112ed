"""The documents stay true: what the repository offers is in them, and what they name exists."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import tomllib
from totesys.ingest.drift import OUTCOMES

from operations.deployment.templates import DECIDED, TEMPLATES, Template
from tests.docs.documents import DOCUMENTS, LINK, README, ROOT, anchors, files, name_of, prose, table_rows, text

OURS = re.compile(r"(?:tests|operations|glue_jobs|catalog|cloudformation|local_aws|local_totesys|requirements|scripts|docs)/[\w./-]*\w")
NAMES_WHAT_IS_GONE = {"CHANGELOG.md"}


def test_the_readme_is_short() -> None:
    assert len(text(README).splitlines()) <= 150


def test_every_script_is_in_the_readme() -> None:
    assert not [path.name for path in (ROOT / "scripts").iterdir() if f"scripts/{path.name}" not in text(README)]


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = set(), {README}
    while todo:
        page = todo.pop()
        reached.add(page)
        linked = {(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(prose(page))}
        todo |= (linked & set(DOCUMENTS)) - reached
    assert reached == set(DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_leads_to_a_file_and_a_section(document: Path) -> None:
    broken = []
    for link in LINK.findall(prose(document)):
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        is_elsewhere = name.startswith(("http:", "https:"))
        if not is_elsewhere and (not target.exists() or (anchor and anchor not in anchors(target))):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if one.name not in NAMES_WHAT_IS_GONE], ids=name_of)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    named = {name for code in re.findall(r"`([^`\n]+)`", prose(document)) for name in OURS.findall(code) if "TABLE" not in name}
    missing = named - files()
    assert not missing


def test_every_parameter_of_the_templates_is_on_the_page_about_aws() -> None:
    parameters = {name for path in TEMPLATES.glob("*.yaml") for name in Template.read(path.stem).parameters}
    page = text(ROOT / "docs" / "aws.md")
    assert not {name for name in parameters - DECIDED if f"`{name}`" not in page}


def test_every_kind_of_drift_is_in_its_table_with_its_default() -> None:
    rows = [row for row in table_rows(ROOT / "docs" / "drift.md") if len(row) == 5 and row[0].startswith("`")]
    assert {row[0].strip("`"): row[2] for row in rows} == OUTCOMES and len(rows) == len(OUTCOMES)


def test_every_saved_query_is_on_the_page_about_athena() -> None:
    saved = re.findall(r"Type: AWS::Athena::NamedQuery\n(?:.*\n)*?      Name: (\w+)\n", text(TEMPLATES / "catalog.yaml"))
    listed = [row[0].strip("`") for row in table_rows(ROOT / "docs" / "athena.md") if re.fullmatch(r"`[a-z_]+`", row[0])]
    assert saved and sorted(listed) == sorted(saved)


def test_the_index_of_decisions_has_each_of_them_once_in_order() -> None:
    folder = ROOT / "docs" / "adr"
    indexed = [LINK.findall(row[1])[0] for row in table_rows(folder / "README.md") if row[0].isdecimal()]
    assert indexed == sorted(path.name for path in folder.glob("0*.md"))


def test_the_glossary_says_each_term_once_and_names_code_that_exists() -> None:
    rows = [row for row in table_rows(ROOT / "docs" / "glossary.md") if len(row) == 3 and row[0] != "term"]
    times = Counter(term.strip("`") for row in rows for term in row[0].split(", "))
    assert len(rows) > 50 and set(times.values()) == {1}
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`([\w./]+)`", row[2])}
    paths = [f"/{path}" for path in files()]
    assert not [name for name in named if not any(path.endswith(f"/{name}") for path in paths)]


def test_the_newest_release_of_the_changelog_is_the_version_of_the_package() -> None:
    version = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]["version"]
    assert re.findall(r"^## \[(\d[^]]*)\] - \d{4}-\d\d-\d\d$", text(ROOT / "CHANGELOG.md"), re.MULTILINE)[0] == version


def test_no_file_of_the_repository_names_a_registry() -> None:
    hosts = "|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "registry" + r"\.npmjs", "deb" + r"\.debian"))
    found = subprocess.run(["git", "grep", "-lIE", hosts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stdout == ""
