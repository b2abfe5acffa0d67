"""This project by its own command line, in a process that counts what passes between it and the store.

That process is in `ours_process`.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.measure import Measurement, run_module

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.target import Target

BRANCH = "bench@master"
PROCESS = "benchmarks.ours_process"
"""What runs a command line and is measured."""


@dataclass(frozen=True)
class Ours:
    """One root with a repo in it."""

    target: Target
    name: str
    work: Path
    system: str = "ours"

    def prepare(self) -> None:
        """Create the database, the root and a repo, as is done once."""
        self.work.mkdir(parents=True, exist_ok=True)
        self._run("prepare", "create", "repo", "bench")

    def ingest(self, data: Path) -> Measurement:
        """Every file in one commit of a new repo."""
        return self._put("ingest", data)

    def put_changed(self, changed: Path) -> Measurement:
        """Only the changed files, in one commit."""
        return self._put("put changed", changed)

    def put_again(self, data: Path) -> Measurement:
        """The whole directory once more, of which 1 % is new."""
        return self._put("put again", data)

    def diff(self) -> Measurement:
        """What the last commit changed."""
        return self._run("diff", "diff", "file", BRANCH)

    def list_files(self) -> Measurement:
        """Every path."""
        return self._run("list", "list", "file", "-r", f"{BRANCH}:/")

    def one_file(self, path: str, output: Path) -> Measurement:
        """One file out of all."""
        return self._run("one file", "get", "file", f"{BRANCH}:/{path}", "-o", str(output))

    def materialise(self, output: Path) -> Measurement:
        """Everything into an empty directory, by a machine that has read no tree of the repo."""
        shutil.rmtree(self.work / "cache" / "nodes", ignore_errors=True)
        return self._run("materialise", "get", "file", "-r", f"{BRANCH}:/", "-o", str(output))

    def range(self, path: str, offset: int, length: int) -> Measurement:
        """Some bytes of a file."""
        return self._run("range", "get", f"{BRANCH}:/{path}", str(offset), str(length))

    def _put(self, operation: str, data: Path) -> Measurement:
        return self._run(operation, "put", "file", "-r", f"{BRANCH}:/", "-f", str(data))

    def _run(self, operation: str, *command: str) -> Measurement:
        environment = {
            "PACHY_STORAGE": self.target.url(self.name),
            "PACHY_METADATA": f"sqlite:///{self.work / 'metadata.db'}",
            "PACHY_CACHE": str(self.work / "cache"),
            **({"PACHY_S3_ENDPOINT": self.target.endpoint} if self.target.endpoint else {}),
        }
        arguments = {"environment": environment, "command": command}
        return replace(run_module(self.system, operation, PROCESS, arguments), system=self.system)
