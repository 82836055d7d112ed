"""The documents stay true: what the repository offers is in them, and what they name exists."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import tomllib
from totesys.ingest.structure import OUTCOMES

from operations.deploy.stacks import TEMPLATES, Template
from tests.templates.test_templates import resources

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FILES = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
FOLDERS = {str(parent) for name in FILES for parent in Path(name).parents}
DECIDED_BY_THE_DEPLOY = {
    "IngestScript", "TransformScript", "LoadScript", "IngestWheels", "SparkWheels", "SourceJdbcUrl", "WarehouseJdbcUrl", "EnforceTls",
    "CreateLogGroups", "InVpc", "CodeVersion",
}  # fmt: skip
LINK = re.compile(r"\]\(([^)\s]+)\)")
OURS = re.compile(r"(?:tests|operations|glue_jobs|catalog|cloudformation|local_aws|local_totesys|requirements|scripts|docs)/[\w./-]*\w")


def text(document: Path) -> str:
    return document.read_text("utf-8")


def prose(document: Path) -> str:
    """Return the document without its code blocks."""
    return re.sub(r"^```.*?^```", "", text(document), flags=re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings."""
    found: Counter[str] = Counter()
    slugs = set()
    for title in re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()).replace(" ", "-")
        slugs.add(f"{slug}-{found[slug]}" if found[slug] else slug)
        found[slug] += 1
    return slugs


def table_rows(document: Path) -> list[list[str]]:
    """Return the cells of every line of a table in the document."""
    lines = re.findall(r"^\| (.+) \|$", prose(document), re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def test_the_readme_is_short() -> None:
    assert len(text(README).splitlines()) <= 150


def test_every_script_is_in_the_readme() -> None:
    assert not [path.name for path in (ROOT / "scripts").iterdir() if f"scripts/{path.name}" not in text(README)]


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = set(), {README}
    while todo:
        page = todo.pop()
        reached.add(page)
        linked = {(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(text(page)) if not link.startswith(("#", "http"))}
        todo |= {one for one in linked if one.suffix == ".md" and one.exists()} - reached
    assert set(DOCUMENTS) <= reached


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_section(document: Path) -> None:
    broken = []
    for link in LINK.findall(prose(document)):
        name, _, anchor = link.partition("#")
        target = document if not name else document.parent / name
        if name.startswith(("http:", "https:", "../../")):  # the last is a page of the repository at GitHub
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if one.name != "CHANGELOG.md"], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    named = {name for code in re.findall(r"`([^`\n]+)`", prose(document)) for name in OURS.findall(code) if "TABLE" not in name}
    assert not [name for name in named if name not in FILES and name not in FOLDERS and not (ROOT / name).exists()]


def test_every_parameter_of_the_templates_is_on_the_page_about_aws() -> None:
    parameters = {name for path in TEMPLATES.glob("*.yaml") for name in Template.read(path.stem).parameters}
    page = text(ROOT / "docs" / "aws.md")
    assert not {name for name in parameters - DECIDED_BY_THE_DEPLOY if f"`{name}`" not in page}


def test_every_kind_of_drift_is_in_its_table_with_its_default() -> None:
    page = text(ROOT / "docs" / "drift.md")
    rows = re.findall(r"^\| `(\w+)` \| .+? \| (ignore|evolve|hold|fail) \|", page, re.MULTILINE)
    assert dict(rows) == OUTCOMES and len(rows) == len(OUTCOMES)


def test_every_saved_query_is_on_the_page_about_athena() -> None:
    saved = {query["Name"] for query in resources("catalog", "AWS::Athena::NamedQuery").values()}
    assert saved == {row[0].strip("`") for row in table_rows(ROOT / "docs" / "athena.md") if row[0].strip("`") in saved}


def test_the_index_of_decisions_has_each_of_them_once_in_order() -> None:
    folder = ROOT / "docs" / "adr"
    indexed = LINK.findall("\n".join(re.findall(r"^\| \d+ \| (.+?) \|", text(folder / "README.md"), re.MULTILINE)))
    assert indexed == sorted(path.name for path in folder.glob("0*.md"))


def test_the_glossary_says_each_term_once_and_names_code_that_exists() -> None:
    rows = [row for row in table_rows(ROOT / "docs" / "glossary.md") if len(row) == 3 and row[0] not in ("term", "---")]
    terms = Counter(term.strip("`") for row in rows for term in row[0].split(", "))
    assert len(rows) > 50 and not [term for term, times in terms.items() if times > 1]
    named = {name for row in rows for name in re.findall(r"`([\w./]+)`", row[2])}
    paths = [f"/{path}" for path in [*FILES, *FOLDERS]]
    assert not [name for name in named if not any(path.endswith(f"/{name.rstrip('/')}") for path in paths)]


def test_the_newest_release_of_the_changelog_is_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert re.findall(r"^## \[(\d[^]]*)\] - \d{4}-\d\d-\d\d$", text(ROOT / "CHANGELOG.md"), re.MULTILINE)[0] == version


def test_no_file_of_the_repository_names_a_registry() -> None:
    hosts = "|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "registry" + r"\.npmjs", "deb" + r"\.debian"))
    found = subprocess.run(["git", "grep", "-lIE", hosts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stdout == ""
