"""The documents name files that exist, and the README stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# Folders that documents name files relative to.
BASES = [ROOT, ROOT / "echoseg_ros"]
FILES = re.compile(r"`((?:[a-z_0-9]+/)+[a-z_0-9.-]+\.(?:py|yaml|json|npz|md|sh|txt|xml))`")
LINKS = re.compile(r"\]\((?!https?:)([^)#]+)\)")
README_LINES = 150
# A moving picture must load quickly.
GIF_BYTES = 3_000_000


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_exist(document: Path) -> None:
    named = [name for name in FILES.findall(document.read_text()) if not name.startswith("results/")]
    assert not [name for name in named if not any((base / name).exists() for base in BASES)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    assert not [link for link in LINKS.findall(document.read_text()) if not (document.parent / link).exists()]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_the_picture_of_the_readme_is_small() -> None:
    assert (ROOT / "docs" / "demo.gif").stat().st_size < GIF_BYTES


def constants_of_document() -> list[tuple[str, str]]:
    """(folder, name) of each constant in docs/constants.md."""
    found = []
    for section in re.split(r"^## ", (ROOT / "docs" / "constants.md").read_text(), flags=re.MULTILINE)[1:]:
        folder = str(Path(re.split(r"[,{ ]", section, maxsplit=1)[0].strip()).parent) if "/" in section else "."
        for row in re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE):
            found += [(folder, name) for name in re.findall(r"`([A-Z_0-9]+)`", row)]
    return found


def test_the_constants_of_the_document_exist() -> None:
    constants = constants_of_document()
    assert len(constants) > 50
    code: dict[str, str] = {}
    for folder, _ in constants:
        if folder not in code:
            code[folder] = "\n".join(path.read_text() for path in sorted((ROOT / folder).rglob("*.py")))
    assert not [(folder, name) for folder, name in constants if not re.search(rf"\b{name}\b", code[folder])]
