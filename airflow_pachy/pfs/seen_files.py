"""What this machine remembers of the files of a local directory that was put: so that those that did not change need
not be read again.

Remembered are, for each file, size, both of its times, its inode, and the hash of its content: what git and restic
remember. A file for which all of them are as they were has the content that it had. Its size and modification time
alone would not do: programs set those, and archives, images and builds set them to the same for all files; the time of
change of the inode is the system's own. Neither would what a commit knows of the file, since that may come from
another directory.

**Files changed a moment ago** are not remembered: a further change within the same tick of the file system's clock
would not show. So they are read once more, at the next put.

The memory is a file per directory in the user's cache. Losing it costs time, nothing else; one that cannot be read or
written is done without.
"""

from __future__ import annotations

import logging
import os
import struct
import sys
import time
import zlib
from array import array
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any, BinaryIO

from blake3 import blake3

from airflow_pachy.user_cache import cache_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from airflow_pachy.pfs.scanning import FileBatch, Remembered

# The coarsest clocks that file systems stamp files with tick every two seconds.
RECENT_NS = 2_000_000_000
_MOST_DIRECTORIES = 64
_SUFFIX = ".seen"
_MAGIC = f"pachy seen 2 {sys.byteorder}\n".encode()
# Files, bytes of their paths, checksum of what follows: paths (NUL between them), four columns of numbers, hashes.
_HEAD = struct.Struct("<III")
_CODES = "qqqQ"
_HASH_BYTES = 32
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_LARGEST = 1 << 26
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SeenFiles:
    """The memory of one directory: a file, and the clock that says what was changed a moment ago."""

    file: Path
    clock_ns: Callable[[], int] = time.time_ns

    @classmethod
    def of(cls, directory: Path, environment: Mapping[str, str]) -> SeenFiles | None:
        """The memory of a directory; None where nothing can be kept."""
        cache = cache_directory(environment)
        if cache is None:
            return None
        name = blake3(os.fsencode(directory.resolve())).hexdigest()[:32]
        return cls(cache / "seen" / f"{name}{_SUFFIX}")

    def recall(self) -> Callable[[str], Remembered | None]:
        """A function that is asked for one path after the other, in their order, what is remembered of it."""
        pieces = _pieces(self.file)
        files: dict[str, Remembered] = {}
        last = ""

        def remembered(path: str) -> Remembered | None:
            nonlocal files, last
            while path > last:
                files = next(pieces, {})
                last = next(reversed(files), "\U0010ffff" * 4096)
            return files.get(path)

        return remembered

    def take_down(self, began_ns: int) -> Notes:
        """Begin the memory of a walk that began at this time of the clock."""
        return Notes(self.file, began_ns - RECENT_NS)


class Notes:
    """What a walk over a directory, in path order, takes down for the next one."""

    def __init__(self, file: Path, recent_ns: int) -> None:
        self._file = file
        self._recent_ns = recent_ns
        self._sink: BinaryIO | None = None
        self._partial: Path | None = None
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = file.with_name(f".new-{os.urandom(8).hex()}")
            self._sink = os.fdopen(os.open(partial, _NEW_FILE, 0o600), "wb")
            self._partial = partial
            self._sink.write(_MAGIC)
        except OSError as error:
            self._give_up(error)

    def add(self, batch: FileBatch) -> None:
        """Take down what files hold, all of whose hashes are known by now, but for those changed a moment ago."""
        if self._sink is None:
            return
        import numpy as np  # here, since what is remembered is read before anything is imported

        columns: list[Any] = [
            np.frombuffer(column, np.int64) for column in (batch.sizes, batch.mtimes_ns, batch.ctimes_ns, batch.inodes)
        ]
        hashes: Any = np.frombuffer(batch.hashes, f"V{_HASH_BYTES}")
        kept: Any = np.maximum(columns[1], columns[2]) < self._recent_ns
        paths = list(compress(batch.paths, kept.tolist()))
        if not paths:
            return
        text = "\0".join(paths).encode()
        body = b"".join([text, *(column[kept].tobytes() for column in (*columns, hashes))])
        try:
            self._sink.write(_HEAD.pack(len(paths), len(text), zlib.crc32(body)))
            self._sink.write(body)
        except OSError as error:
            self._give_up(error)

    def keep(self) -> None:
        """The walk came to its end: let the next one remember it."""
        if self._sink is None or self._partial is None:
            return
        try:
            self._sink.close()
            self._partial.replace(self._file)
            _forget_oldest(self._file.parent)
        except OSError as error:
            self._give_up(error)
        self._partial = self._sink = None

    def close(self) -> None:
        """Drop what was taken down unless it was kept."""
        if self._sink is not None:
            with suppress(OSError):
                self._sink.close()
        if self._partial is not None:
            with suppress(OSError):
                self._partial.unlink(missing_ok=True)
        self._partial = self._sink = None

    def _give_up(self, error: OSError) -> None:
        _log.debug("what was seen is not remembered in %s: %s", self._file, error)
        self.close()


def _pieces(file: Path) -> Iterator[dict[str, Remembered]]:
    """What is remembered, in path order, some thousand files at a time, up to where the memory is damaged."""
    try:
        with file.open("rb") as source:
            if source.read(len(_MAGIC)) != _MAGIC:
                return
            while piece := _piece(source):
                yield piece
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        _log.debug("what %s remembers cannot be read: %s", file, error)


def _piece(source: BinaryIO) -> dict[str, Remembered] | None:
    head = source.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    count, text_bytes, checksum = _HEAD.unpack(head)
    size = text_bytes + count * (8 * len(_CODES) + _HASH_BYTES)
    if size > _LARGEST:
        return None
    body = source.read(size)
    if len(body) != size or zlib.crc32(body) != checksum:
        return None
    columns: list[list[int]] = []
    at = text_bytes
    for code in _CODES:
        column: array[int] = array(code)
        column.frombytes(body[at : at + 8 * count])
        columns.append(column.tolist())
        at += 8 * count
    hashes = [body[start : start + _HASH_BYTES] for start in range(at, size, _HASH_BYTES)]
    remembered = zip(zip(*columns, strict=True), hashes, strict=True)
    return dict(zip(body[:text_bytes].decode().split("\0"), remembered, strict=True))


def _forget_oldest(folder: Path) -> None:
    """Keep the memory of so many directories, the ones that were put last."""
    kept = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda one: one.stat().st_mtime_ns, reverse=True)
    for one in kept[_MOST_DIRECTORIES:]:
        one.unlink(missing_ok=True)
