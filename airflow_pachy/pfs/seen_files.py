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
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from blake3 import blake3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_pachy.pfs.local_files import LocalFile

VARIABLE = "PACHY_CACHE"
# The coarsest clocks that file systems stamp files with tick every two seconds.
RECENT_NS = 2_000_000_000
_MOST_DIRECTORIES = 64
_VERSION = b"1"
_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("path", pa.string()),
    ("size", pa.int64()),
    ("mtime_ns", pa.int64()),
    ("ctime_ns", pa.int64()),
    ("inode", pa.uint64()),
    ("hash", pa.binary()),
]
_SCHEMA = pa.schema(_COLUMNS, metadata={"pachy.seen": _VERSION})
_log = logging.getLogger(__name__)


def cache_directory(environment: Mapping[str, str]) -> Path | None:
    """`$PACHY_CACHE`, else the place that the user's system has for such things; None if there is none."""
    if given := environment.get(VARIABLE):
        return Path(given).absolute()
    base = environment.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "airflow-pachy"
    try:
        return Path("~/.cache/airflow-pachy").expanduser()
    except RuntimeError:  # a user without a home
        return None


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
        return cls(cache / "seen" / f"{name}.arrows")

    def open(self) -> Visit:
        """Begin a walk over the directory."""
        return Visit(self.file, self.clock_ns() - RECENT_NS)


class Visit:
    """One walk over a directory, in path order: tells what was seen of each file and takes down what is seen now."""

    def __init__(self, file: Path, recent_ns: int) -> None:
        self._file = file
        self._recent_ns = recent_ns
        self._former = _rows(file)
        self._next = next(self._former, None)
        self._sink: Any = None
        self._partial: Path | None = None
        self._writer: Any = None
        self._start()

    def recall(self, files: Sequence[LocalFile]) -> list[bytes | None]:
        """For each file, the hash that its content had when it was last seen; None if it may have changed since."""
        hashes: list[bytes | None] = []
        former = self._next
        for found in files:
            path = found.path
            while former is not None and former[0] < path:
                former = next(self._former, None)
            is_same = (
                former is not None
                and former[0] == path
                and former[1] == found.size_bytes
                and former[2] == found.mtime_ns
                and former[3] == found.ctime_ns
                and former[4] == found.inode
            )
            hashes.append(former[5] if is_same and former is not None else None)
        self._next = former
        return hashes

    def note(self, files: Sequence[LocalFile], hashes: Sequence[bytes]) -> None:
        """Take down what files hold, but for those that were changed a moment ago."""
        if self._writer is None:
            return
        recent = self._recent_ns
        kept = [
            (*one, digest)
            for one, digest in zip(files, hashes, strict=True)
            if one.mtime_ns < recent and one.ctime_ns < recent
        ]
        if not kept:
            return
        paths, _, sizes, _, *others = zip(*kept, strict=True)
        columns = (paths, sizes, *others)
        arrays: Any = [pa.array(values, kind) for values, (_, kind) in zip(columns, _COLUMNS, strict=True)]
        try:
            self._writer.write_batch(pa.record_batch(arrays, schema=_SCHEMA))
        except OSError as error:
            self._give_up(error)

    def keep(self) -> None:
        """The walk came to its end: let the next one remember it."""
        if self._writer is None or self._partial is None:
            return
        try:
            self._writer.close()
            self._sink.close()
            self._partial.replace(self._file)
            _forget_oldest(self._file.parent)
        except OSError as error:
            self._give_up(error)
        self._partial = self._writer = None

    def close(self) -> None:
        """Drop what was taken down unless it was kept."""
        self._former = iter(())
        if self._sink is not None:
            with suppress(OSError):
                self._sink.close()
        if self._partial is not None:
            with suppress(OSError):
                self._partial.unlink(missing_ok=True)
        self._partial = self._writer = self._sink = None

    def _start(self) -> None:
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._file.parent, prefix=".new-")
            self._partial = Path(name)
            self._sink = os.fdopen(handle, "wb")
            self._writer = pa.ipc.new_stream(self._sink, _SCHEMA)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        _log.debug("what was seen is not remembered in %s: %s", self._file, error)
        self.close()


def _rows(file: Path) -> Iterator[tuple[str, int, int, int, int, bytes]]:
    """What is remembered, in path order, a piece at a time; nothing of what is damaged or from another version."""
    try:
        with file.open("rb") as source, pa.ipc.open_stream(source) as batches:
            if batches.schema.equals(_SCHEMA, check_metadata=True):
                for batch in batches:
                    yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
    except FileNotFoundError:
        return
    except (OSError, pa.ArrowException) as error:
        _log.debug("what %s remembers cannot be read: %s", file, error)


def _forget_oldest(folder: Path) -> None:
    """Keep the memory of so many directories, the ones that were put last."""
    kept = sorted(folder.glob("*.arrows"), key=lambda one: one.stat().st_mtime_ns, reverse=True)
    for one in kept[_MOST_DIRECTORIES:]:
        one.unlink(missing_ok=True)
