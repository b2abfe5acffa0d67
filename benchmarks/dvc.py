"""DVC on the same files and the same store, by its own command line, the way its manual says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.measure import Measurement, run_command

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.target import Target

_ENV = {"DVC_NO_ANALYTICS": "1", "GIT_CONFIG_NOSYSTEM": "1"}


@dataclass(frozen=True)
class Dvc:
    """A git repository with DVC in it and one tracked directory, `data`."""

    target: Target
    name: str
    repository: Path
    system: str = "dvc"

    @staticmethod
    def why_not() -> str | None:
        """Why it cannot take part, if it cannot."""
        if find_spec("dvc") is None:
            return "DVC is not installed here (pip install 'airflow-provider-pachy[dvc]')"
        return None if shutil.which("git") else "git is not installed here, which DVC needs"

    @property
    def data(self) -> Path:
        """Where the files have to be: DVC tracks what is in its repository."""
        return self.repository / "data"

    def prepare(self) -> None:
        """A new repository with a remote."""
        self.repository.mkdir(parents=True)
        self._git("init", "-q")
        self._git("config", "user.email", "bench@example.com")
        self._git("config", "user.name", "bench")
        self._dvc("init", "-q")
        self._dvc("config", "core.analytics", "false")
        self._dvc("remote", "add", "-q", "-d", "store", self.target.url(self.name).removeprefix("file://"))
        if self.target.endpoint:
            self._dvc("remote", "modify", "store", "endpointurl", self.target.endpoint)
        self._git("add", "-A")
        self._git("commit", "-qm", "start")

    def ingest(self, _data: Path) -> Measurement:
        """Track everything and upload it."""
        return self._add_and_push("ingest")

    def put_again(self, _data: Path) -> Measurement:
        """Track and upload after 1 % of the files changed."""
        return self._add_and_push("put again")

    def list_files(self) -> Measurement:
        """Names of all files."""
        return self._measure("list", ["list", ".", "-R", "--dvc-only", "--json"])

    def diff(self) -> Measurement:
        """What the last commit changed."""
        return self._measure("diff", ["diff", "HEAD~1", "HEAD", "--json"])

    def one_file(self, path: str, output: Path) -> Measurement:
        """One file out of all."""
        shutil.rmtree(self.repository / ".dvc" / "cache")
        return self._measure("one file", ["get", "-q", "-o", str(output), ".", f"data/{path}"])

    def materialise(self, _output: Path) -> Measurement:
        """Download everything into an empty working copy with an empty cache."""
        shutil.rmtree(self.data)
        shutil.rmtree(self.repository / ".dvc" / "cache", ignore_errors=True)
        return self._measure("materialise", ["pull", "-q"])

    def _add_and_push(self, operation: str) -> Measurement:
        measured = self._measure(operation, ["add", "-q", "data"], ["push", "-q"])
        self._git("add", "-A")
        self._git("commit", "-qm", operation)
        return measured

    def _measure(self, operation: str, *commands: list[str]) -> Measurement:
        return run_command(self.system, operation, [_command(*c) for c in commands], cwd=self.repository, env=_ENV)

    def _dvc(self, *arguments: str) -> None:
        run_command(self.system, arguments[0], [_command(*arguments)], cwd=self.repository, env=_ENV)

    def _git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.repository, check=True, capture_output=True)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]
