"""Every example has a page, every page a picture, and every picture is that of the real DAG or specs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(path for path in (ROOT / "docs" / "examples").glob("*.md") if path.name != "README.md")
# Looking after the data is no example of a pipeline; its page is docs/upkeep.md.
NO_PAGE = {"maintenance"}


@pytest.fixture(scope="module")
def graphs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_graphs", ROOT / "scripts" / "example_graphs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_picture_is_what_the_script_draws(page: Path, graphs: ModuleType) -> None:
    text = page.read_text()
    assert len(graphs.PICTURE.findall(text)) == text.count("```mermaid") > 0
    assert graphs.drawn(text) == text, f"run: python scripts/example_graphs.py {page.relative_to(ROOT)}"


def test_every_example_has_a_page_that_the_index_lists() -> None:
    dags = {path.stem for path in (ROOT / "dags_examples").glob("*.py")} - NO_PAGE
    index = (ROOT / "docs" / "examples" / "README.md").read_text()
    assert dags == {page.stem.replace("-", "_") for page in PAGES}
    assert {page.name for page in PAGES} == set(re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", index, re.MULTILINE))


def test_every_pipeline_folder_belongs_to_an_example() -> None:
    folders = {path.name for path in (ROOT / "dags_examples" / "pipelines").iterdir()}
    assert folders <= {path.stem for path in (ROOT / "dags_examples").glob("*.py")}
