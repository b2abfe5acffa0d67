"""The documentation is true: its commands and programs run, its links lead somewhere, its commands exist.

Blocks marked `console` are run line by line on a fresh embedded store; lines below a command are its output
(a command without any may print what it likes). Blocks marked `python` are run as they are.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest
from support.pages import commands

from airflow_pachy.cli import cli, main

ROOT = Path(__file__).resolve().parents[3]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "helm_values" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
# Pages of examples need Airflow: tests/integration/examples types their commands.
EXAMPLES = ROOT / "docs" / "examples"
# In one process, since importing Airflow takes seconds; each in a module of its own.
_RUN_BLOCKS = "import sys\nfor block in sys.argv[1:]: exec(compile(block, 'example', 'exec'), {'__name__': 'example'})"
_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in _BLOCK.finditer(page.read_text())]


@dataclass
class Terminal:
    """A directory and a fresh home; `pachy` runs in this process, since importing it takes a second each time."""

    work: Path
    monkeypatch: pytest.MonkeyPatch
    captured: pytest.CaptureFixture[bytes]

    def type(self, line: str) -> str:
        """Run a command line and return what it printed."""
        *feeding, last = line.split(" | ")
        fed = self.run(["sh", "-c", " | ".join(feeding)]) if feeding else b""
        if not last.startswith("pachy "):
            return self.run(["sh", "-c", last]).decode()
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(fed)))
        self.captured.readouterr()
        code = main(shlex.split(last)[1:])
        out, err = self.captured.readouterr()
        assert code == 0, f"{line}\n{err.decode()}"
        return out.decode()

    def run(self, arguments: list[str]) -> bytes:
        ran = subprocess.run(arguments, cwd=self.work, capture_output=True, check=False)
        assert ran.returncode == 0, f"{arguments[-1]}\n{ran.stdout.decode()}{ran.stderr.decode()}"
        return ran.stdout


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Terminal:
    for name in list(os.environ):
        if name.startswith(("PACHY_", "AIRFLOW")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return Terminal(work, monkeypatch, capfdbinary)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p) and EXAMPLES not in p.parents], ids=page_name)
def test_examples_run_in_order(page: Path, terminal: Terminal) -> None:
    for kind, group in groupby(blocks(page), key=lambda block: block[0]):
        if kind == "python":
            terminal.run([sys.executable, "-c", _RUN_BLOCKS, *(block for _, block in group)])
            continue
        for command, expected in commands("".join(block for _, block in group)):
            printed = terminal.type(command)
            assert not expected or printed == expected, command


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_to_files(page: Path) -> None:
    broken = [target for target in _LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert broken == []


def test_the_command_line_page_names_every_command() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    for verb, group in cli.commands.items():
        for noun in getattr(group, "commands", {}):
            assert f"{verb} {noun}" in text, f"docs/cli.md does not mention `pachy {verb} {noun}`"


def test_change_fragments_have_a_kind() -> None:
    kinds = {"feature", "change", "fix", "performance", "docs"}
    names = [path.name for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    assert [name for name in names if not re.fullmatch(rf"[a-z0-9-]+\.({'|'.join(kinds)})\.md", name)] == []
