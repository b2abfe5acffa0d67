"""This project by its own command line, in a process that counts what passes between it and the store."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Measurement, report, run_module

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airflow_pachy.cli.session import Places
    from airflow_pachy.pfs.objects import ObjectStore
    from benchmarks.target import Target

BRANCH = "bench@master"
# What a verb imports when it is under way, which "inside" leaves out.
_READING = ("airflow_pachy.pfs.objects.s3", "airflow_pachy.pfs.files", "airflow_pachy.pfs.tree.view")
_WRITING = ("airflow_pachy.metadata.database", "airflow_pachy.pfs.puts", "airflow_pachy.pfs.tree.merge")
_IMPORTS = {"create": _WRITING, "put": _READING + _WRITING, "diff": (*_READING, "airflow_pachy.pfs.tree.diffing")}


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
        """Everything into an empty directory."""
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
        return replace(run_module(self.system, operation, "benchmarks.ours", arguments), system=self.system)


def main(operation: str, arguments: Mapping[str, Any]) -> int:
    """In the measured process: the command, with a store that counts."""
    os.environ.update(arguments["environment"])
    from airflow_pachy.cli import main as pachy
    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs import objects
    from airflow_pachy.pfs.objects.wrappers import CountingStore

    started = time.perf_counter()
    stores: list[CountingStore] = []

    # The client takes it from there once it is imported, which is for the command to do: it has something to do before.
    def open_counting(*args: Any, **kwargs: Any) -> ObjectStore:
        nonlocal started
        from airflow_pachy.pfs.objects.opening import open_store

        for module in _IMPORTS.get(arguments["command"][0], _READING):
            import_module(module)
        started = time.perf_counter()
        stores.append(CountingStore(open_store(*args, **kwargs)))
        return stores[-1]

    # On S3 the command has its store in a process beside it, and imports the same meanwhile.
    open_beside = Session.store_beside

    def count_beside(session: Session, places: Places) -> ObjectStore | None:
        nonlocal started
        store = open_beside(session, places)
        if store is None:
            return None
        started = time.perf_counter()
        stores.append(CountingStore(store))
        return stores[-1]

    objects.open_store = open_counting
    Session.store_beside = count_beside  # type: ignore[assignment,method-assign]  # a counter around the real one
    code = 0
    if operation == "range":
        _, path, offset, length = arguments["command"]
        from airflow_pachy.pfs import Pfs

        with Pfs.open() as pfs:
            assert len(pfs.get_file(path, int(offset), int(length))) == int(length)
    else:
        code = pachy(arguments["command"])
    report(time.perf_counter() - started, stores[0] if stores else None)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], json.loads(sys.argv[2])))
