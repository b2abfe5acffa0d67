"""Bytes on their way into a DVC remote, several files at a time.

Small files are fetched together, since they lie together in packs, into a temporary directory of bounded size; large
ones are streamed, twice: for their MD5 first, which is their name there, and again if the remote lacks them.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_pachy.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_pachy.pfs.content import ContentReader
    from airflow_pachy.pfs.dvc.md5s import KnownMd5s
    from airflow_pachy.pfs.tree.entries import Entry

SMALL_BYTES = 8 << 20
BATCH_BYTES = 256 << 20
BATCH_FILES = 5_000
_WINDOW_BYTES = 4 << 20


class Sender:
    """Brings contents into DVC's object database `objects`. `sent_files` and `sent_bytes` count what it lacked."""

    def __init__(
        self,
        reader: ContentReader,
        objects: Any,
        known: KnownMd5s,
        jobs: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._reader = reader
        self._objects = objects
        self._known = known
        self._jobs = jobs
        self._progress = progress or (lambda _files, _bytes: None)
        self._turn = threading.Lock()
        self.sent_files = 0
        self.sent_bytes = 0

    def send(self, entries: Sequence[Entry]) -> list[str]:
        """Have the remote hold every file's content; returns their MD5s, in the same order."""
        md5s = self._known.find(entry.content.hash for entry in entries)
        present = self._present(set(md5s.values()))
        missing: dict[bytes, Entry] = {}
        for entry in entries:
            if md5s.get(entry.content.hash) in present:
                self._progress(1, entry.content.size_bytes)
            elif entry.content.hash in missing:
                self._progress(1, entry.content.size_bytes)  # the same content at another path goes once
            else:
                missing[entry.content.hash] = entry
        with ThreadPoolExecutor(self._jobs, "dvc-export") as pool:
            for batch in _batches(list(missing.values())):
                found = self._send_batch(pool, batch)
                self._known.keep(found)
                md5s.update(found)
        return [md5s[entry.content.hash] for entry in entries]

    def send_manifest(self, manifest: bytes) -> str:
        """Have the remote hold a directory's list of files; returns its name, which ends in `.dir`."""
        oid = f"{hashlib.md5(manifest, usedforsecurity=False).hexdigest()}.dir"
        if not self._objects.exists(oid):
            self._upload(oid, io.BytesIO(manifest), len(manifest))
        return oid

    def _present(self, oids: set[str]) -> set[str]:
        """Those that the remote has; DVC decides whether asking for each or listing is cheaper."""
        if not oids:
            return set()
        if self._objects.fs.protocol == "local":
            return {oid for oid in oids if self._objects.exists(oid)}  # DVC would read them all
        return set(self._objects.oids_exist(list(oids), jobs=4 * self._jobs))

    def _send_batch(self, pool: ThreadPoolExecutor, batch: list[Entry]) -> list[tuple[bytes, str]]:
        if batch[0].content.size_bytes > SMALL_BYTES:
            return list(pool.map(self._send_large, batch))
        with tempfile.TemporaryDirectory(prefix="pachy-dvc-") as scratch:
            local = [(entry, Path(scratch) / str(number)) for number, entry in enumerate(batch)]
            self._reader.materialise(local)
            oids = list(pool.map(lambda one: _md5_of(one[1]), local))
            present = self._present(set(oids))
            list(pool.map(lambda one, oid: self._send_small(one, oid, present), local, oids))
            return [(entry.content.hash, oid) for (entry, _), oid in zip(local, oids, strict=True)]

    def _send_small(self, item: tuple[Entry, Path], oid: str, present: set[str]) -> None:
        _, path = item
        data = path.read_bytes()
        if oid not in present:
            self._upload(oid, io.BytesIO(data), len(data))
        self._progress(1, len(data))

    def _send_large(self, entry: Entry) -> tuple[bytes, str]:
        digest = hashlib.md5(usedforsecurity=False)
        with self._reader.open(entry.content) as stream:
            while data := stream.read(_WINDOW_BYTES):
                digest.update(data)
                self._progress(0, len(data))
        oid = digest.hexdigest()
        if not self._objects.exists(oid):
            with self._reader.open(entry.content) as stream:
                self._upload(oid, stream, entry.content.size_bytes)
        self._progress(1, 0)
        return entry.content.hash, oid

    def _upload(self, oid: str, stream: BinaryIO, size_bytes: int) -> None:
        path = self._objects.oid_to_path(oid)
        try:
            self._objects.fs.put_file(cast("Any", stream), path, size=size_bytes)
        except BaseException as error:
            # Some file systems complete what was begun: half an object under its whole name.
            if self._objects.exists(oid):
                self._objects.fs.remove(path)
            if isinstance(error, OSError):
                raise Unavailable(f"{path} cannot be written to the DVC remote: {error}") from error
            raise
        with self._turn:
            self.sent_files += 1
            self.sent_bytes += size_bytes


def _md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _batches(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Small files together, in path order; each large one by itself."""
    batch: list[Entry] = []
    held_bytes = 0
    large = [entry for entry in entries if entry.content.size_bytes > SMALL_BYTES]
    for entry in entries:
        if entry.content.size_bytes > SMALL_BYTES:
            continue
        if batch and (held_bytes + entry.content.size_bytes > BATCH_BYTES or len(batch) == BATCH_FILES):
            yield batch
            batch, held_bytes = [], 0
        batch.append(entry)
        held_bytes += entry.content.size_bytes
    if batch:
        yield batch
    if large:
        yield large
