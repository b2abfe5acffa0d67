"""The least it can cost: the same bytes, hashed with BLAKE3, in a few large objects and one index. No versions.

It goes through our own object store, so the distance between this and `ours` is the price of versioning, not of the
S3 client.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from airflow_pachy.pfs.objects import CountingStore, ObjectStore, open_store
from benchmarks.measure import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACK_BYTES = 32 << 20
THREADS = 4
INDEX = "index.json"

Row = tuple[str, str, str, int, int]
"""path, hash, pack, offset, length"""


def ingest(store: ObjectStore, data: Path) -> None:
    """Read, hash, pack and upload every file; then the index."""
    rows: list[Row] = []
    with ThreadPoolExecutor(THREADS) as threads:
        uploads = [threads.submit(store.put, name, body) for name, body in _packs(data, rows)]
        for upload in uploads:
            upload.result()
    store.put(INDEX, json.dumps(rows).encode())


def list_(store: ObjectStore, data: Path) -> None:  # noqa: ARG001 - every operation has the same arguments
    """Every path."""
    assert [row[0] for row in _index(store)]


def materialise(store: ObjectStore, data: Path) -> None:
    """Download the packs and write the files out."""
    by_pack: dict[str, list[Row]] = {}
    for row in _index(store):
        by_pack.setdefault(row[2], []).append(row)
    for folder in {str(Path(row[0]).parent) for rows in by_pack.values() for row in rows}:
        (data / folder).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(THREADS) as threads:
        for done in [threads.submit(_unpack, store, name, rows, data) for name, rows in by_pack.items()]:
            done.result()


def _packs(data: Path, rows: list[Row]) -> Iterator[tuple[str, bytes]]:
    pack = bytearray()
    number = 0
    for path in sorted(data.rglob("*.bin")):
        content = path.read_bytes()
        rows.append(
            (path.relative_to(data).as_posix(), blake3(content).hexdigest(), f"pack-{number}", len(pack), len(content))
        )
        pack += content
        if len(pack) >= PACK_BYTES:
            yield f"pack-{number}", bytes(pack)
            pack, number = bytearray(), number + 1
    if pack:
        yield f"pack-{number}", bytes(pack)


def _unpack(store: ObjectStore, name: str, rows: list[Row], data: Path) -> None:
    body = memoryview(store.get(name))
    for path, _, _, offset, length in rows:
        (data / path).write_bytes(body[offset : offset + length])


def _index(store: ObjectStore) -> list[Row]:
    return [tuple(row) for row in json.loads(store.get(INDEX))]


OPERATIONS: dict[str, Callable[[ObjectStore, Path], None]] = {
    "ingest": ingest,
    "list": list_,
    "materialise": materialise,
}


def main(operation: str, arguments: dict[str, Any]) -> None:
    """In the measured process."""
    started = time.perf_counter()
    store = CountingStore(open_store(arguments["url"], s3=arguments["s3"]))
    OPERATIONS[operation](store, Path(arguments["data"]))
    report(time.perf_counter() - started, requests=store.counts.total)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
