"""The process that `ours` measures: our command line, which counts what passes between it and the store.

It begins and ends as the program `pachy` does, and imports nothing before it that the program would not import.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from benchmarks.reporting import report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs.objects import CountingStore, ObjectStore

# What a verb imports when it is under way, which "inside" leaves out.
_READING = ("airflow_pachy.pfs.objects.s3", "airflow_pachy.pfs.files", "airflow_pachy.pfs.tree.view")
_WRITING = ("airflow_pachy.metadata.database", "airflow_pachy.pfs.puts", "airflow_pachy.pfs.tree.merge")
_IMPORTS = {"create": _WRITING, "put": _READING + _WRITING, "diff": (*_READING, "airflow_pachy.pfs.tree.diffing")}


class _Counter:
    """Counts around the store that a command opens, and when it began to use it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._stores: list[CountingStore] = []
        self.started = time.perf_counter()

    @property
    def store(self) -> CountingStore | None:
        """What the command works on, if it has opened something."""
        return self._stores[0] if self._stores else None

    def count(self, store: ObjectStore) -> ObjectStore:
        """The same store, counted; "inside" begins when something is first asked of it."""
        from airflow_pachy.pfs.objects.wrappers import CountingStore

        counter = self

        class Counted(CountingStore):
            def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
                if not self.counts.total:
                    counter.started = time.perf_counter()
                return super().get(key, offset=offset, length=length)

            def fetch(self, key: str, offset: int, length: int) -> Any:
                self._count("get", length)
                return self.inner.fetch(key, offset, length)  # type: ignore[attr-defined]  # the store beside has it

            def __getattr__(self, name: str) -> Any:
                return getattr(self.inner, name)

        self._stores.append(Counted(store))
        return self._stores[-1]

    def watch(self) -> None:
        """Count around what is opened from now on, in this process or beside it."""
        from airflow_pachy.cli.session import Session
        from airflow_pachy.pfs import objects

        open_beside = Session.store_beside

        # The client takes it from there once it is imported, which is for the command to do.
        def open_counted(*args: Any, **kwargs: Any) -> ObjectStore:
            from airflow_pachy.pfs.objects.opening import open_store

            for module in _IMPORTS.get(self._command[0], _READING):
                import_module(module)
            return self.count(open_store(*args, **kwargs))

        # On S3 the command has its store in a process beside it, and imports the same meanwhile.
        def beside_counted(session: Session, *args: Any) -> ObjectStore | None:
            store = open_beside(session, *args)
            return None if store is None else self.count(store)

        objects.open_store = open_counted
        Session.store_beside = beside_counted  # type: ignore[assignment,method-assign]  # its own, counted


def main(operation: str, arguments: Mapping[str, Any]) -> None:
    """Be the program with this command, and report."""
    os.environ.update(arguments["environment"])
    from airflow_pachy import cli

    command = arguments["command"]
    counter, run = _Counter(command), cli.main

    def measured() -> int:
        counter.watch()
        counter.started = time.perf_counter()
        code = _read_range(*command[1:]) if operation == "range" else run(command)
        report(time.perf_counter() - counter.started, counter.store)
        return code

    cli.main = measured  # type: ignore[assignment]  # `program` calls it, and then ends as it always does
    cli.program()


def _read_range(path: str, offset: str, length: str) -> int:
    from airflow_pachy.pfs import Pfs

    with Pfs.open() as pfs:
        assert len(pfs.get_file(path, int(offset), int(length))) == int(length)
    return 0


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
