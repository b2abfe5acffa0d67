"""DVC on the same files and the same store, by its own command line, the way its manual says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.measure import Measurement, run_command
from benchmarks.workload import Workload, check

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.target import Target

SYSTEM = "dvc"
_ENV = {"DVC_NO_ANALYTICS": "1", "GIT_CONFIG_NOSYSTEM": "1"}


class Dvc:
    """A git repository with DVC in it and one tracked directory, `data`."""

    def __init__(self, target: Target, work: Path) -> None:
        self.repository = work / "dvc"
        self.data = self.repository / "data"
        self.repository.mkdir(parents=True)
        self._git("init", "-q")
        self._git("config", "user.email", "bench@example.com")
        self._git("config", "user.name", "bench")
        self._dvc("init", "-q")
        self._dvc("config", "core.analytics", "false")
        self._dvc("remote", "add", "-q", "-d", "store", target.url(SYSTEM).removeprefix("file://"))
        if target.endpoint:
            self._dvc("remote", "modify", "store", "endpointurl", target.endpoint)
        self._git("add", "-A")
        self._git("commit", "-qm", "start")

    @staticmethod
    def is_installed() -> bool:
        """Whether `dvc` is in this environment (it comes with the extra `dvc`)."""
        return find_spec("dvc") is not None and shutil.which("git") is not None

    def ingest(self) -> Measurement:
        """Track everything and upload it."""
        return self._add_and_push("ingest")

    def put_again(self) -> Measurement:
        """Track and upload after 1 % of the files changed."""
        return self._add_and_push("put again")

    def list_files(self) -> Measurement:
        """Names of all files."""
        return self._measure("list", ["list", ".", "-R", "--dvc-only", "--json"])

    def diff(self) -> Measurement:
        """What the last commit changed."""
        return self._measure("diff", ["diff", "HEAD~1", "HEAD", "--json"])

    def materialise(self, workload: Workload) -> Measurement:
        """Download everything into an empty working copy with an empty cache."""
        shutil.rmtree(self.data)
        shutil.rmtree(self.repository / ".dvc" / "cache")
        measured = self._measure("materialise", ["pull", "-q"])
        check(self.data, workload)
        return measured

    def _add_and_push(self, operation: str) -> Measurement:
        measured = self._measure(operation, ["add", "-q", "data"], ["push", "-q"])
        self._git("add", "-A")
        self._git("commit", "-qm", operation)
        return measured

    def _measure(self, operation: str, *commands: list[str]) -> Measurement:
        return run_command(SYSTEM, operation, [_command(*c) for c in commands], cwd=self.repository, env=_ENV)

    def _dvc(self, *arguments: str) -> None:
        run_command(SYSTEM, arguments[0], [_command(*arguments)], cwd=self.repository, env=_ENV)

    def _git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.repository, check=True, capture_output=True)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]
