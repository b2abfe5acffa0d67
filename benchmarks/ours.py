"""Our own operations on the small files, through the public client."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_pachy.metadata import Metadata
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.content import ContentReader
from airflow_pachy.pfs.format import ensure_format
from airflow_pachy.pfs.objects import CountingStore, open_store
from airflow_pachy.pfs.root import Root
from benchmarks.measure import report

if TYPE_CHECKING:
    from collections.abc import Callable

BRANCH = "bench@master"


def ingest(pfs: Pfs, data: Path) -> None:
    """Every file in one commit of a new repo."""
    pfs.create_repo("bench")
    pfs.put_dir(f"{BRANCH}:/", data)


def put_changed(pfs: Pfs, data: Path) -> None:
    """Only the changed files, in one commit."""
    pfs.put_dir(f"{BRANCH}:/", data)


def put_again(pfs: Pfs, data: Path) -> None:
    """The whole directory once more, of which 1 % is new."""
    pfs.put_dir(f"{BRANCH}:/", data)


def list_(pfs: Pfs, data: Path) -> None:  # noqa: ARG001 - every operation has the same arguments
    """Every path."""
    assert sum(1 for _ in pfs.walk_file(f"{BRANCH}:/"))


def diff(pfs: Pfs, data: Path) -> None:  # noqa: ARG001 - all operations are called alike
    """What the last commit changed."""
    assert sum(1 for _ in pfs.diff_file(BRANCH))


def materialise(pfs: Pfs, data: Path) -> None:
    """Everything into an empty directory."""
    pfs.get_dir(f"{BRANCH}:/", data)


OPERATIONS: dict[str, Callable[[Pfs, Path], None]] = {
    "ingest": ingest,
    "put changed": put_changed,
    "put again": put_again,
    "list": list_,
    "diff": diff,
    "materialise": materialise,
}


def main(operation: str, arguments: dict[str, Any]) -> None:
    """In the measured process."""
    started = time.perf_counter()
    store = CountingStore(open_store(arguments["url"], s3=arguments["s3"]))
    metadata = Metadata.open(arguments["metadata"])
    metadata.ensure_ready()
    ensure_format(store)
    with Pfs(Root(store, metadata, ContentReader(store))) as pfs:
        OPERATIONS[operation](pfs, Path(arguments["data"]))
    report(time.perf_counter() - started, requests=store.counts.total)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
