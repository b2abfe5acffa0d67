"""The least it can cost: the same bytes, hashed with BLAKE3, in a few large objects and one index. No versions.

It goes through our own object store, so the distance between this and `ours` is the price of versioning, not of the
S3 client.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from airflow_pachy.pfs.objects import CountingStore, ObjectStore, open_store
from benchmarks.measure import Measurement, report, run_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.target import Target

PACK_BYTES = 32 << 20
THREADS = 4
INDEX = "index.json"

Piece = tuple[str, int, int]
"""pack, offset, length"""
Row = tuple[str, str, list[Piece]]
"""path, hash, where the bytes are"""


@dataclass(frozen=True)
class Bare:
    """One folder of the store."""

    target: Target
    name: str
    system: str = "bare"

    def prepare(self) -> None:
        """Nothing to prepare."""

    def ingest(self, data: Path) -> Measurement:
        """Read, hash, pack and upload every file; then the index."""
        return self._run("ingest", data)

    def list_files(self) -> Measurement:
        """Every path."""
        return self._run("list", Path())

    def one_file(self, path: str, output: Path) -> Measurement:
        """One file out of all."""
        return self._run("one file", output, path)

    def materialise(self, output: Path) -> Measurement:
        """Everything into an empty directory."""
        return self._run("materialise", output)

    def _run(self, operation: str, data: Path, path: str = "") -> Measurement:
        arguments = {"url": self.target.url(self.name), "s3": self.target.s3, "data": str(data), "path": path}
        return run_module(self.system, operation, "benchmarks.bare", arguments)


def ingest(store: ObjectStore, data: Path, _path: str) -> None:
    """Read, hash, pack and upload; no more packs are in memory than are on their way."""
    rows: list[Row] = []
    places = threading.Semaphore(THREADS)

    def upload(name: str, body: bytearray) -> None:
        try:
            store.put(name, body)
        finally:
            places.release()

    with ThreadPoolExecutor(THREADS) as threads:
        uploads: list[Future[None]] = []
        for name, body in _packs(data, rows):
            places.acquire()
            uploads.append(threads.submit(upload, name, body))
        for future in uploads:
            future.result()
    store.put(INDEX, json.dumps(rows).encode())


def list_(store: ObjectStore, _data: Path, _path: str) -> None:
    """Every path."""
    print("\n".join(path for path, _, _ in _index(store)))


def one_file(store: ObjectStore, data: Path, path: str) -> None:
    """One file, found through the index."""
    pieces = next(pieces for name, _, pieces in _index(store) if name == path)
    data.write_bytes(b"".join(store.get(pack, offset=offset, length=length) for pack, offset, length in pieces))


def materialise(store: ObjectStore, data: Path, _path: str) -> None:
    """Download the packs and write the files out."""
    by_pack: dict[str, list[tuple[str, int, int, int]]] = {}
    folders: set[str] = set()
    for path, _, pieces in _index(store):
        folders.add(path.rpartition("/")[0])
        position = 0
        for pack, offset, length in pieces:
            by_pack.setdefault(pack, []).append((f"{data}/{path}", position, offset, length))
            position += length
    for folder in folders:
        (data / folder).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(THREADS) as threads:
        for done in [threads.submit(_unpack, store, name, rows) for name, rows in by_pack.items()]:
            done.result()


def _packs(data: Path, rows: list[Row]) -> Iterator[tuple[str, bytearray]]:
    pack = bytearray()
    number = 0
    above = len(f"{data}/")
    for path in _files(str(data)):
        hasher = blake3()
        pieces: list[Piece] = []
        handle = os.open(path, os.O_RDONLY)
        left = os.fstat(handle).st_size
        while left and (part := os.read(handle, min(left, PACK_BYTES))):
            hasher.update(part)
            pieces.append((f"pack-{number}", len(pack), len(part)))
            pack += part
            left -= len(part)
            if len(pack) >= PACK_BYTES:
                yield f"pack-{number}", pack
                pack, number = bytearray(), number + 1
        os.close(handle)
        rows.append((path[above:], hasher.hexdigest(), pieces))
    if pack:
        yield f"pack-{number}", pack


def _files(folder: str) -> Iterator[str]:
    """All files, in no order: nothing needs one."""
    with os.scandir(folder) as found:
        for one in found:
            if one.is_dir():
                yield from _files(one.path)
            else:
                yield one.path


def _unpack(store: ObjectStore, name: str, rows: list[tuple[str, int, int, int]]) -> None:
    body = memoryview(store.get(name))
    for path, position, offset, length in rows:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        os.pwrite(handle, body[offset : offset + length], position)
        os.close(handle)


def _index(store: ObjectStore) -> list[Row]:
    rows: list[Row] = json.loads(store.get(INDEX))
    return rows


OPERATIONS: dict[str, Callable[[ObjectStore, Path, str], None]] = {
    "ingest": ingest,
    "list": list_,
    "one file": one_file,
    "materialise": materialise,
}


def main(operation: str, arguments: dict[str, Any]) -> None:
    """In the measured process."""
    started = time.perf_counter()
    store = CountingStore(open_store(arguments["url"], s3=arguments["s3"]))
    OPERATIONS[operation](store, Path(arguments["data"]), arguments["path"])
    report(time.perf_counter() - started, store)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
    # As our program does: without taking modules apart.
    sys.stdout.flush()
    os._exit(0)
