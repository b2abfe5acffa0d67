"""`pachy(...)`: the command line, run in this process on an embedded store of the test's own."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from airflow_pachy.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def rows(self) -> list[list[str]]:
        """The table below its headings, split at runs of two spaces and more."""
        return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in self.lines[1:]]

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


Pachy = Callable[..., Ran]


@pytest.fixture
def airflow_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PACHY_STORAGE", "PACHY_METADATA", "PACHY_S3_ENDPOINT", "PACHY_PRINCIPAL"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "airflow"
    monkeypatch.setenv("AIRFLOW_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def pachy(airflow_home: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Pachy:
    def run(*arguments: str, stdin: bytes = b"", fails: bool = False) -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        # Airflow, which an earlier test may have imported, logs to what was standard output in that test.
        usable = [one for one in logging.root.handlers if not getattr(getattr(one, "stream", None), "closed", False)]
        monkeypatch.setattr(logging.root, "handlers", usable)
        capfdbinary.readouterr()
        code = main(arguments)
        captured = capfdbinary.readouterr()
        ran = Ran(code, captured.out.decode(), captured.err.decode())
        assert (ran.code != 0) == fails, ran
        return ran

    return run


@pytest.fixture
def images(pachy: Pachy, tmp_path: Path) -> Path:
    """A repo `images` with /a.png and /2024/b.png in one commit, and the directory they came from."""
    local = tmp_path / "photos"
    (local / "2024").mkdir(parents=True)
    (local / "a.png").write_bytes(b"a" * 100)
    (local / "2024" / "b.png").write_bytes(b"b" * 3000)
    pachy("create", "repo", "images", "--description", "photos")
    pachy("put", "file", "images@master:/", "-r", "-f", str(local))
    return local
