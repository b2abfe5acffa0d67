"""`pachy fsck --rebuild` of a long history: the database made anew from what the bucket has.

The history is made on a store in memory, which takes a minute instead of many, and copied into the target: what is
measured is the rebuilding alone, by the command line, in a process of its own. Then old and new database are compared,
row by row.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Measurement, report, run_module
from benchmarks.ours import PROCESS

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_pachy.metadata.models import Base
    from benchmarks.target import Target

NAME = "rebuild"
BRANCH = "bench@master"
DERIVED = "derived@master"
EVERY = 10
"""How many commits there are to each one derived from them."""
_COPIES = 16


def measure_rebuild(target: Target, folder: Path, commits: int) -> list[Measurement]:
    """`commits` on one branch and a tenth as many made from them on another, rebuilt into a new SQLite file."""
    old, new = (f"sqlite:///{folder / name}.db" for name in ("before", "rebuilt"))
    arguments = {"url": target.url(NAME), "s3": target.s3, "metadata": old, "commits": commits}
    run_module("ours", "make", "benchmarks.rebuild", arguments)
    environment = {
        "PACHY_STORAGE": target.url(NAME),
        "PACHY_METADATA": new,
        "PACHY_CACHE": str(folder / "cache"),
        **({"PACHY_S3_ENDPOINT": target.endpoint} if target.endpoint else {}),
    }
    command = {"environment": environment, "command": ["fsck", "--rebuild"]}
    measured = run_module("ours", "rebuild", PROCESS, command)
    run_module("ours", "check", "benchmarks.rebuild", {**arguments, "rebuilt": new})
    return [replace(measured, operation=f"rebuild {commits + commits // EVERY:,} commits")]


def make(arguments: dict[str, Any]) -> None:
    """Make the history, and put its objects into the target."""
    from airflow_pachy.metadata import Metadata
    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pfs.content import ContentReader
    from airflow_pachy.pfs.objects import MemoryStore, open_store
    from airflow_pachy.pfs.root import Root

    store = MemoryStore()
    metadata = Metadata.open(arguments["metadata"])
    metadata.ensure_ready()
    with Pfs(Root(store, metadata, ContentReader(store))) as pfs:
        pfs.create_repo("bench")
        pfs.create_repo("derived")
        for number in range(arguments["commits"]):
            pfs.put_file(f"{BRANCH}:/{number % 100:02d}.txt", f"version {number}")
            if number % EVERY == EVERY - 1:
                pfs.start_commit(DERIVED, provenance=[BRANCH])
                pfs.put_file(f"{DERIVED}:/{number % 100:02d}.txt", f"from version {number}")
                pfs.finish_commit(DERIVED)
        into = open_store(arguments["url"], s3=arguments["s3"])
        with ThreadPoolExecutor(_COPIES) as threads:
            for _ in threads.map(lambda info: into.put(info.key, store.get(info.key)), list(store.list_keys())):
                pass
        into.close()


def check(arguments: dict[str, Any]) -> None:
    """Refuse a database that does not say what the lost one said."""
    from sqlalchemy import select

    from airflow_pachy.metadata import Metadata
    from airflow_pachy.metadata.models import Branch, Commit, CommitProvenance, HeadMove, Repo

    # What only the process that wrote a commit needs, and when its row was written.
    private = {"seen_ordinal", "heartbeat", "moved"}

    def rows(url: str, model: type[Base]) -> list[str]:
        with Metadata.open(url).reader() as session:
            found = session.execute(select(model.__table__)).mappings()
            return sorted(repr({name: row[name] for name in row if name not in private}) for row in found)

    for model in (Repo, Branch, Commit, CommitProvenance, HeadMove):
        before, after = (rows(arguments[name], model) for name in ("metadata", "rebuilt"))
        if not before or before != after:
            raise AssertionError(
                f"{model.__tablename__}: {len(before)} rows before, {len(after)} rebuilt, not the same"
            )


def main(operation: str, arguments: dict[str, Any]) -> None:
    """In a process of its own."""
    {"make": make, "check": check}[operation](arguments)
    report(0.0)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
