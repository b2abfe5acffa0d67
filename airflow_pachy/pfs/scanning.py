"""Reading the files of a local directory, some thousands at a time: as columns, their bytes one after the other.

What is said of many files must not be as many Python objects, and must go through memory that two processes share
(`reading_ahead`). So this imports nothing but BLAKE3: another process does it while ours is still starting.
"""

from __future__ import annotations

import marshal
import os
import stat
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blake3 import blake3

from airflow_pachy.pfs.local_files import WHOLE_BYTES, open_found, status_of, walk_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_pachy.pfs.local_files import Group

    # Size, mtime_ns, ctime_ns and inode of a file; these as they were, with the hash of its content.
    Marks = tuple[int, int, int, int]
    Remembered = tuple[Marks, bytes]

ROOM_BYTES = 8 << 20
"""For the bytes of one batch."""
TEXT_BYTES = 5 << 19
"""What `FileBatch.packed` needs at most."""
_MOST_FILES = 4096
_MOST_CHARACTERS = 1 << 19
_HASH_BYTES = 32
_NO_HASH = bytes(_HASH_BYTES)

LARGE, READ, KNOWN = range(3)
"""Left to be read as a stream; read; not read, since it is as it was and its hash is known."""


@dataclass(slots=True)
class FileBatch:
    """Files in the order of their paths, which are relative to the directory that was scanned.

    Sizes, times and inodes are as the file system told them; `lengths` are the bytes that were read, and `data` has
    them for all files that are `READ`, one after the other. It is overwritten once the next batch is asked for.
    """

    paths: list[str]
    kinds: bytes
    executable: bytes
    sizes: array[int]
    mtimes_ns: array[int]
    ctimes_ns: array[int]
    inodes: array[int]
    lengths: array[int]
    hashes: bytearray
    data: memoryview

    def __len__(self) -> int:
        return len(self.paths)

    def hash(self, place: int) -> bytes:
        """The content hash of one file, 32 zero bytes for one that is `LARGE`."""
        return bytes(self.hashes[place * _HASH_BYTES : (place + 1) * _HASH_BYTES])

    def packed(self) -> bytes:
        """All but the data, for `unpacked` of another process."""
        columns = (self.sizes, self.mtimes_ns, self.ctimes_ns, self.inodes, self.lengths, self.hashes)
        return marshal.dumps((self.paths, self.kinds, self.executable, *map(bytes, columns), len(self.data)))

    @classmethod
    def unpacked(cls, body: memoryview, data: memoryview) -> FileBatch:
        """What another process has packed, with the room that the data is in."""
        paths, kinds, executable, sizes, mtimes, ctimes, inodes, lengths, hashes, size = marshal.loads(body)  # noqa: S302 - of our own child
        return cls(
            paths,
            kinds,
            executable,
            _array("q", sizes),
            _array("q", mtimes),
            _array("q", ctimes),
            _array("Q", inodes),
            _array("q", lengths),
            bytearray(hashes),
            data[:size],
        )


def _array(code: str, body: bytes) -> array[int]:
    column: array[int] = array(code)
    column.frombytes(body)
    return column


def scan(
    directory: Path,
    recall: Callable[[str], Remembered | None],
    rooms: Iterator[memoryview],
    *,
    after: str = "",
) -> Iterator[FileBatch]:
    """The files below a directory whose paths come after `after`, each batch in the next of `rooms` (`ROOM_BYTES`).

    `recall` is asked for each path in order what is remembered of it; a file that is as it was is not read. Raises as
    `walk_local` does, and `OSError` for a file that cannot be read.
    """
    return _Scan(recall, rooms, after).run(walk_groups(directory))


class _Scan:
    """The batch that is being made, a list for what is known of each of its files."""

    def __init__(self, recall: Callable[[str], Remembered | None], rooms: Iterator[memoryview], after: str) -> None:
        self._recall = recall
        self._rooms = rooms
        self._after = after
        self._room: memoryview | None = None
        self._used = 0
        self._paths: list[str] = []
        self._kinds = bytearray()
        self._modes: list[int] = []
        self._marks: list[Marks] = []
        self._lengths: list[int] = []
        self._hashes: list[bytes] = []

    def run(self, groups: Iterator[Group]) -> Iterator[FileBatch]:
        """All batches."""
        recall, after, paths = self._recall, self._after, self._paths
        characters = 0
        for prefix, items in groups:
            for name, item in items:
                path = prefix + name
                if path <= after:
                    continue
                if len(paths) == _MOST_FILES or characters > _MOST_CHARACTERS:
                    yield self._batch()
                    characters = 0
                characters += len(path)
                former = recall(path)
                if former is not None:
                    status = status_of(item)
                    marks = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
                    if marks == former[0]:
                        # As `_add` does: of most files that are put again this is all.
                        paths.append(path)
                        self._kinds.append(KNOWN)
                        self._modes.append(status.st_mode)
                        self._marks.append(marks)
                        self._lengths.append(0)
                        self._hashes.append(former[1])
                        continue
                handle, status = open_found(item)
                try:
                    if self._is_full(status.st_size):
                        yield self._batch()
                        characters = len(path)
                    self._read(path, handle, status)
                finally:
                    os.close(handle)
        if paths:
            yield self._batch()

    def _is_full(self, size_bytes: int) -> bool:
        """Whether so many bytes and one more, which are read whole, do not go into the room."""
        return self._room is not None and len(self._room) - self._used <= size_bytes <= WHOLE_BYTES

    def _read(self, path: str, handle: int, status: os.stat_result) -> None:
        size, start = status.st_size, self._used
        if size > WHOLE_BYTES:
            self._add(path, status, LARGE, 0, _NO_HASH)
            return
        if self._room is None:
            self._room = next(self._rooms)
        room = self._room
        # One byte more than there should be tells at once that this is all.
        end = start + os.readv(handle, (room[start : start + size + 1],))
        if end != start + size:
            limit = min(start + WHOLE_BYTES + 1, len(room))
            while end < limit and (more := os.readv(handle, (room[end:limit],))):
                end += more  # it grew since it was found, or is no file of a disk
            if end == limit:
                self._add(path, status, LARGE, 0, _NO_HASH)
                return
        self._used = end
        self._add(path, status, READ, end - start, blake3(room[start:end]).digest())

    def _add(self, path: str, status: os.stat_result, kind: int, length: int, digest: bytes) -> None:
        self._paths.append(path)
        self._kinds.append(kind)
        self._modes.append(status.st_mode)
        self._marks.append((status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
        self._lengths.append(length)
        self._hashes.append(digest)

    def _batch(self) -> FileBatch:
        """What was gathered; what comes next is another one."""
        sizes, mtimes, ctimes, inodes = zip(*self._marks, strict=True)
        batch = FileBatch(
            self._paths.copy(),
            bytes(self._kinds),
            bytes([(mode & stat.S_IXUSR) >> 6 for mode in self._modes]),
            array("q", sizes),
            array("q", mtimes),
            array("q", ctimes),
            array("Q", inodes),
            array("q", self._lengths),
            bytearray(b"".join(self._hashes)),
            memoryview(b"") if self._room is None else self._room[: self._used],
        )
        self._room, self._used = None, 0
        for gathered in (self._paths, self._kinds, self._modes, self._marks, self._lengths, self._hashes):
            gathered.clear()
        return batch
