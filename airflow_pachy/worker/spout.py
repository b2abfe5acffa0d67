"""The helper beside a spout: reads tar archives from the pipe /pfs/out and records each as a batch in the bucket.

It has no rights in the database, so it commits nothing; who does finds the batches by their keys. What counts for the
user's code is the marker, a file that it writes into an archive: it is recorded together with the archive's files, and
lies at /pfs/<marker> when the code starts again. So the code is started only when all that it has written before
is recorded, and is ended when this helper has died with what it had read.

Files in /pfs/.pfs, beside those of `spout.sh`:

    spout.life    this helper's life: changes when another takes over
    spout.want    the user's container asks to start (a word of its own)
    spout.go      it may: everything is recorded, the marker is in place (the same word, and the life)
    spout.ended   the user's code has ended, and nothing more will come
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs.content import ContentReader, ContentWriter
from airflow_pachy.pfs.tree.entries import Entry
from airflow_pachy.worker.control import ControlDirectory
from airflow_pachy.worker.disk import CONTROL, OUT, remove_tree
from airflow_pachy.worker.spout_batches import (
    OVERWRITE,
    BatchKey,
    is_marker,
    list_batches,
    new_life,
    read_batch,
    write_batch,
)
from airflow_pachy.worker.staging import RESERVED_NAMES
from airflow_pachy.worker.tar_streams import BadStream, Interrupted, Pipe, read_archive

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path
    from tarfile import TarInfo
    from typing import BinaryIO

    from airflow_pachy.pfs.objects.store import ObjectStore

IDLE_SECONDS = 0.1
WORD_BYTES = 200
REPLACE = f"{CONTROL}/{OVERWRITE}"
"""A file of this name in an archive says that its files replace others: see `pachctl.sh`."""
LIFE, WANT, GO, ENDED = "spout.life", "spout.want", "spout.go", "spout.ended"


@dataclass(slots=True)
class Spout:
    """One life of the helper. `stream` is the pipeline's; `stop` ends it, after what is being written."""

    store: ObjectStore
    stream: str
    marker: str
    pfs: Path
    stop: threading.Event
    log: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    grace_seconds: float = 20.0
    clock: Callable[[], float] = time.monotonic
    _life: str = ""
    _sequence: int = 0
    _last_marked: BatchKey | None = None
    _stopped_at: float | None = None
    _answered: str = field(default="")

    def run(self) -> None:
        """Record archives until told to stop. Raises `BadStream`, `InvalidArgument`, OSError, and store errors."""
        check_marker(self.marker)
        newest = None
        for newest in list_batches(self.store, self.stream):
            if newest.marked:
                self._last_marked = newest
        self._life = new_life(newest)
        control = ControlDirectory(self.pfs / CONTROL)
        try:
            pipe = Pipe(self._open_pipe(), self._given_up)
            control.write(LIFE, f"{self._life}\n")
            self.log(f"life {self._life} begins")
            self._serve(control, pipe)
        finally:
            control.close()

    def _serve(self, control: ControlDirectory, pipe: Pipe) -> None:
        while True:
            ended = control.exists(ENDED)
            try:
                if pipe.at_archive():
                    self._record(pipe)
                    continue
            except Interrupted:
                return
            if self.stop.is_set() and (ended or self._given_up()):
                return
            self._answer(control)
            self.sleep(IDLE_SECONDS)

    def _open_pipe(self) -> int:
        place = self.pfs / OUT
        remove_tree(place)
        os.mkfifo(place, 0o666)
        place.chmod(0o666)
        fd = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        if not stat.S_ISFIFO(os.fstat(fd).st_mode):
            raise InvalidArgument(f"{place} is not a pipe any more: the user's code must write to it, not replace it")
        return fd

    def _given_up(self) -> bool:
        """Whether we were told to stop, long enough ago for what was being written to have come."""
        if not self.stop.is_set():
            return False
        self._stopped_at = self._stopped_at if self._stopped_at is not None else self.clock()
        return self.clock() - self._stopped_at >= self.grace_seconds

    def _answer(self, control: ControlDirectory) -> None:
        """Let the user's code start, if it asks; nothing is in the pipe now."""
        word = control.read(WANT, WORD_BYTES).decode("ascii", "replace").strip()
        if word and word != self._answered:
            self._put_marker()
            control.write(GO, f"{word} {self._life}\n")
            self._answered = word

    def _put_marker(self) -> None:
        if not self.marker:
            return
        place = self.pfs / self.marker
        remove_tree(place)
        if self._last_marked is None:
            return
        batch = read_batch(self.store, self._last_marked)
        # The last of a name in an archive counts.
        found = {entry.path: entry for entry in batch.outputs if is_marker(entry.path, self.marker)}
        ContentReader(self.store).materialise((entry, self.pfs / path) for path, entry in found.items())

    def _record(self, pipe: Pipe) -> None:
        started = time.time_ns() // 1000
        with ContentWriter(self.store) as writer:
            found = read_archive(pipe, lambda member, content: _entry(member, content, writer))
        orders = {entry.path for entry in found if entry.path.startswith(f"{CONTROL}/")}
        if orders - {REPLACE}:
            raise BadStream(f"{min(orders)!r} cannot be committed: names below {CONTROL} are ours")
        files = [entry for entry in found if entry.path not in orders]
        marked = any(is_marker(entry.path, self.marker) for entry in files)
        key = BatchKey(self.stream, self._life, self._sequence + 1, marked)
        write_batch(self.store, key, files, started_us=started, overwrite=bool(orders))
        self._sequence = key.sequence
        self._last_marked = key if marked else self._last_marked
        size = sum(entry.content.size_bytes for entry in files)
        self.log(f"batch {key.sequence}: {len(files)} files, {size:,} bytes")


def _entry(member: TarInfo, content: BinaryIO, writer: ContentWriter) -> Entry:
    path = _clean(member.name)
    found = writer.write(content)
    if found.size_bytes != member.size:
        raise BadStream(f"it was cut off inside {member.name!r}")
    return Entry(path, found, bool(member.mode & 0o111), None, int(member.mtime * 1_000_000))


def _clean(name: str) -> str:
    """A member's name as a path of the commit. Raises `BadStream`."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise BadStream(f"{os.fsencode(name)!r} is not a legal path, since it is not UTF-8") from error
    if not parts or ".." in parts or "\0" in name:
        raise BadStream(f"{name!r} is not a path below /: name files as they are to be called in the repo")
    return "/".join(parts)


def check_marker(marker: str) -> None:
    """Raise `InvalidArgument` for a marker that could not lie at /pfs/<marker>."""
    if marker and (marker in RESERVED_NAMES or "/" in marker or "\0" in marker):
        raise InvalidArgument(f"marker is {marker!r}: use a name that can lie below /pfs, such as offset")
