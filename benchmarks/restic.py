"""restic on the same files and the same store, with the options that suit it here.

Packs of 32 MiB as ours, no compression (the contents are random), its cache kept between commands and emptied before
a restore, as on a machine that has never seen the repository.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.measure import Measurement, run_command

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.target import Target

_OPTIONS = ("--quiet", "--pack-size", "32", "--compression", "off")


@dataclass(frozen=True)
class Restic:
    """One repository."""

    target: Target
    name: str
    work: Path
    data: Path
    system: str = "restic"

    @staticmethod
    def why_not() -> str | None:
        """Why it cannot take part, if it cannot."""
        return None if shutil.which("restic") else "restic is not installed here (apt-get install restic)"

    def prepare(self) -> None:
        """Create the repository."""
        self.work.mkdir(parents=True, exist_ok=True)
        self._run("init", "init")

    def ingest(self, data: Path) -> Measurement:
        """The first backup."""
        return self._run("ingest", "backup", str(data))

    def put_again(self, data: Path) -> Measurement:
        """The second backup: it reads files that changed by their times and inodes."""
        return self._run("put again", "backup", str(data))

    def diff(self) -> Measurement:
        """What the last backup changed."""
        command = ["restic", "snapshots", "--json", "--quiet"]
        found = subprocess.run(command, env={**os.environ, **self._environment}, check=True, capture_output=True)
        older, newer = [snapshot["id"] for snapshot in json.loads(found.stdout)][-2:]
        return self._run("diff", "diff", older, newer)

    def list_files(self) -> Measurement:
        """Every path."""
        return self._run("list", "ls", "latest")

    def one_file(self, path: str, output: Path) -> Measurement:
        """One file out of all."""
        return self._run("one file", "restore", "latest", "--include", f"{self.data}/{path}", "--target", str(output))

    def materialise(self, output: Path) -> Measurement:
        """Everything into an empty directory, with an empty cache."""
        shutil.rmtree(self.work / "cache", ignore_errors=True)
        return self._run("materialise", "restore", "latest", "--target", str(output))

    @property
    def _environment(self) -> dict[str, str]:
        url = self.target.url(self.name)
        if self.target.endpoint:
            url = f"s3:{self.target.endpoint}/{url.removeprefix('s3://')}"
        return {
            "RESTIC_REPOSITORY": url.removeprefix("file://"),
            "RESTIC_PASSWORD": "benchmark",
            "RESTIC_CACHE_DIR": str(self.work / "cache"),
        }

    def _run(self, operation: str, *command: str) -> Measurement:
        return run_command(
            self.system, operation, [["restic", *_OPTIONS, *command]], cwd=self.work, env=self._environment
        )
