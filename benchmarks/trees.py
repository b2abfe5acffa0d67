"""The tree alone, at a million files: does an operation cost what changed, or what exists?

Contents are not uploaded: an entry names a place in a pack that does not exist, which no operation here reads.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_pachy.pfs.objects import CountingStore, ObjectStore, open_store
from airflow_pachy.pfs.objects.kept import with_copies
from airflow_pachy.pfs.settings import CACHE_BYTES
from airflow_pachy.pfs.tree import (  # the modules so that none is imported while the clock runs
    NodeRef,
    Tree,
    bulk,  # noqa: F401
    conflicts,  # noqa: F401
    diffing,  # noqa: F401
    globbing,  # noqa: F401
    merge,  # noqa: F401
)
from airflow_pachy.pfs.tree.entries import Content, Entry, Put, Segment
from benchmarks.measure import report

if TYPE_CHECKING:
    from collections.abc import Callable

FILES_PER_DIRECTORY = 1_000
CHANGED = 10


def build(store: ObjectStore, state: Path, files: int) -> int:
    """The first commit: every entry is new."""
    tree = Tree(store, None).apply(Put(_entry(number, version=1)) for number in range(files))
    _save(state / "1", tree)
    return len(tree)


def commit(store: ObjectStore, state: Path, files: int) -> int:
    """A commit that changes ten files, far apart."""
    return _change(store, state, "2", range(0, files, files // CHANGED))


def commit_together(store: ObjectStore, state: Path, files: int) -> int:
    """A commit that changes ten files of one directory."""
    start = files // 2
    return _change(store, state, "3", range(start, start + CHANGED))


def _change(store: ObjectStore, state: Path, name: str, numbers: range) -> int:
    changes = [Put(_entry(number, version=2)) for number in numbers]
    _save(state / name, _load(store, state / "1").apply(changes))
    return len(changes)


def list_directory(store: ObjectStore, state: Path, files: int) -> int:
    """The children of one directory of a thousand files."""
    return sum(1 for _ in _load(store, state / "2").list(_directory(files // 2)))


def diff(store: ObjectStore, state: Path, files: int) -> int:  # noqa: ARG001 - every operation has the same arguments
    """Neighbouring commits, ten files far apart."""
    return _differences(store, state, "2")


def diff_together(store: ObjectStore, state: Path, files: int) -> int:  # noqa: ARG001 - all operations are called alike
    """Neighbouring commits, ten files of one directory apart."""
    return _differences(store, state, "3")


def _differences(store: ObjectStore, state: Path, name: str) -> int:
    # As `pachy diff` and `Pfs.diff` ask: what changed, and not where the contents lie.
    return sum(1 for _ in _load(store, state / name).diff(_load(store, state / "1"), contents=False))


def glob(store: ObjectStore, state: Path, files: int) -> int:  # noqa: ARG001 - all operations are called alike
    """A pattern that looks at every path: one file in ten matches."""
    return sum(1 for _ in _load(store, state / "2").glob("/*/*.json"))


OPERATIONS: dict[str, Callable[[ObjectStore, Path, int], int]] = {
    "build": build,
    "commit of 10": commit,
    "commit of 10 in a directory": commit_together,
    "list a directory": list_directory,
    "diff of 10": diff,
    "diff of 10 in a directory": diff_together,
    "glob /*/*.json": glob,
}


def _directory(number: int) -> str:
    return f"{number // FILES_PER_DIRECTORY:05d}"


def _entry(number: int, *, version: int) -> Entry:
    name = f"{number:08d}.{'json' if number % 10 == 0 else 'bin'}"
    content = hashlib.blake2b(f"{version}:{number}".encode(), digest_size=32).digest()
    segment = Segment(f"packs/{number % 256:02x}/none", (number % 8192) * 4096, 4096)
    return Entry(f"{_directory(number)}/{name}", Content(content, 4096, (segment,)))


def _save(path: Path, tree: Tree) -> None:
    path.write_text(str(tree.root))


def _load(store: ObjectStore, path: Path) -> Tree:
    return Tree(store, NodeRef.parse(path.read_text()))


def main(operation: str, arguments: dict[str, Any]) -> None:
    """In the measured process. With a `cache`, nodes are kept there, as `Pfs` keeps them."""
    counted = CountingStore(open_store(arguments["url"], s3=arguments["s3"]))
    cache = arguments.get("cache")
    store = with_copies(counted, Path(cache), CACHE_BYTES) if cache else counted
    gc.collect()  # of what the imports left, which would else be now and then a quarter of a short operation
    started = time.perf_counter()
    rows = OPERATIONS[operation](store, Path(arguments["state"]), arguments["files"])
    report(time.perf_counter() - started, counted, rows=rows)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
