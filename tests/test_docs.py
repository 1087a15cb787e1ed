"""What sources and pages point to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ("cellflow", "cli", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")]
    if ".venv" not in path.parts
)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_pages_named_in_a_source_exist(path):
    named = re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
    assert [page for page in named if not (ROOT / page).is_file()] == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_of_a_page_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    own = [link for link in links if not link.startswith(("http:", "https:"))]
    assert [link for link in own if not (path.parent / link).exists()] == []
