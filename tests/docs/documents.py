"""The documents of the repository, and how to read them."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def files() -> set[str]:
    """Return the paths of the repository's files and folders, relative to its root."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = {name for name in listed.splitlines() if (ROOT / name).exists()}
    return paths | {str(parent) for name in paths for parent in Path(name).parents}


def text(document: Path) -> str:
    return document.read_text("utf-8")


def prose(document: Path) -> str:
    """Return the document without its code blocks."""
    return re.sub(r"^ *```.*?^ *```", "", text(document), flags=re.MULTILINE | re.DOTALL)


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
    lines = re.findall(r"^\| (.*) \|$", prose(document), re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]
