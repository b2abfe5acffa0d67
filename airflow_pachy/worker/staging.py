"""Putting a datum's inputs on disk, and telling later whether the user's code changed them.

Each datum gets a directory of its own with one subdirectory per input and an empty `out`; the
runner moves these under /pfs when the datum's turn comes. Nothing is remembered per file, so that a
datum of a million files costs no memory: a file is unmodified when its inode has not changed since
staging ended (ctime, which user code cannot set back).
"""

from __future__ import annotations

import os
import stat
import threading
import time
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from airflow_pachy.errors import DatumFailed
from airflow_pachy.pfs.tree import Directory, File, NodeRef, Tree
from airflow_pachy.worker.disk import CONTROL, OUT, make_directory, make_writable, remove_tree, tick, untouched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from airflow_pachy.pfs.content import ContentReader
    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.tree.entries import Entry
    from airflow_pachy.worker.plan import DatumPlan, InputPlan
    from airflow_pachy.worker.previous import PreviousOutputs

MAX_LAZY_FILES = 10_000
RESERVED_NAMES = frozenset({"", ".", "..", OUT, CONTROL})


class UnfitDatum(DatumFailed):
    """A datum that cannot be staged, whatever is retried: too large, or names that no file system takes."""


class InputTrees:
    """The trees that a set's datums read, each opened once. Thread-safe."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._trees: dict[str, Tree] = {}
        self._lock = threading.Lock()

    def open(self, text: str) -> Tree:
        """The tree whose root is written `text`; `""` is the empty tree."""
        with self._lock:
            if text not in self._trees:
                self._trees[text] = Tree(self._store, NodeRef.parse(text) if text else None)
            return self._trees[text]

    def find(self, item: InputPlan) -> File | Directory:
        """What the input's path is in its tree."""
        path = item.path.strip("/")
        found = self.open(item.tree).stat(path)
        if found is None:
            raise UnfitDatum(
                f"input {item.name!r} names /{path}, which commit {item.commit} of repo {item.repo} does not have: "
                "plan the job again"
            )
        return found

    def entries(self, item: InputPlan) -> Iterator[Entry]:
        """The files of an input, in path order; if it has a tree `before`, those that are not there or not the same."""
        found = self.find(item)
        path = item.path.strip("/")
        if isinstance(found, File):
            if item.before is None or not _same(found.entry, self.open(item.before).get(path)):
                yield found.entry
            return
        below = f"{path}/" if path else ""
        if item.before is None:
            yield from self.open(item.tree).entries(below)
            return
        for change in self.open(item.tree).diff(self.open(item.before), below):
            if change.new is not None:
                yield change.new

    def size_bytes(self, datum: DatumPlan) -> int:
        """Bytes that staging the datum will put on disk."""
        total = 0
        for item in distinct_inputs(datum):
            if item.lazy or item.empty_files:
                continue
            if item.before is not None:
                total += sum(entry.content.size_bytes for entry in self.entries(item))
                continue
            found = self.find(item)
            total += found.entry.content.size_bytes if isinstance(found, File) else found.size_bytes
        return total


def _same(entry: Entry, before: Entry | None) -> bool:
    return before is not None and (entry.content.hash, entry.executable) == (before.content.hash, before.executable)


@dataclass(frozen=True, slots=True)
class StagedDatum:
    """A datum whose inputs are on disk.

    `root` holds a directory per input and `out`, except while a runner has them under /pfs.
    `bytes` were downloaded in `seconds`. What has a ctime of `ready_ns` or later was changed by user code.
    `begins_with` are the files that were in `out` when it was staged, by path, with their inodes.
    """

    datum: DatumPlan
    root: Path
    bytes: int
    seconds: float
    ready_ns: int
    begins_with: Mapping[str, tuple[Entry, int]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs' names, each once."""
        return tuple(dict.fromkeys(item.name for item in self.datum.inputs))

    def kept(self, path: str, status: os.stat_result) -> Entry | None:
        """The file that was in `out` at this path when the datum was staged, if it is as it was."""
        entry, inode = self.begins_with.get(path, (None, 0))
        # A directory that was renamed brings its files to other paths without a trace in them.
        return entry if status.st_ino == inode and status.st_ctime_ns < self.ready_ns else None

    def unmodified(self, status: os.stat_result, item: InputPlan) -> bool:
        """Whether a file of this input, with this lstat, is as it was staged."""
        if item.lazy:
            return stat.S_ISFIFO(status.st_mode)  # serving a pipe replaces it
        return stat.S_ISREG(status.st_mode) and status.st_ctime_ns < self.ready_ns

    def pristine(self) -> bool:
        """Whether another try may use it when `out` is cleared: no input was written to, created or removed."""
        return not self.begins_with and all(untouched(self.root / name, self.ready_ns) for name in self.names)

    def clear_output(self) -> None:
        """Make `out` an empty directory again."""
        remove_tree(self.root / OUT)
        make_directory(self.root / OUT)

    def remove(self) -> None:
        """Delete the datum's files."""
        remove_tree(self.root)


class Stager:
    """Stages datums; `budget_bytes` is the size of the largest that it accepts."""

    def __init__(
        self, trees: InputTrees, reader: ContentReader, budget_bytes: int, previous: PreviousOutputs | None = None
    ) -> None:
        self._trees = trees
        self._reader = reader
        self._budget_bytes = budget_bytes
        self._previous = previous

    def size_bytes(self, datum: DatumPlan) -> int:
        """Bytes that the datum will take on disk. Raises `UnfitDatum`, before any download, when that is too many."""
        size = self._trees.size_bytes(datum) + sum(entry.content.size_bytes for entry in self._outputs(datum))
        if size > self._budget_bytes:
            raise UnfitDatum(
                f"its inputs are {size:,} bytes, and the space for staged inputs is {self._budget_bytes:,} bytes: "
                "raise the size of the /pfs volume, or make smaller datums with a finer glob"
            )
        return size

    def stage(self, datum: DatumPlan, root: Path, size_bytes: int) -> StagedDatum:
        """Write the datum's inputs into the new directory `root`. Raises `UnfitDatum`, OSError, and store errors."""
        return self.stage_all([(datum, root, size_bytes)])[0]

    def stage_all(self, orders: Sequence[tuple[DatumPlan, Path, int]]) -> list[StagedDatum]:
        """The same for several datums at once, which share the time that it takes."""
        started = time.monotonic()
        whole = [work for datum, root, _size_bytes in orders for work in self._lay_out(datum, root)]
        outputs = [(root / OUT, self._outputs(datum)) for datum, root, _size_bytes in orders]
        begun = ((entry, _place(out, entry.path)) for out, entries in outputs for entry in entries)
        self._reader.materialise(chain(self._files(whole), begun))
        begins_with = [_handed_over(out, entries) for out, entries in outputs]
        seconds = (time.monotonic() - started) / max(1, len(orders))
        ready_ns = tick()
        return [
            StagedDatum(datum, root, size_bytes, seconds, ready_ns, files)
            for (datum, root, size_bytes), files in zip(orders, begins_with, strict=True)
        ]

    def _outputs(self, datum: DatumPlan) -> tuple[Entry, ...]:
        """What lies in `out` before the datum's code starts."""
        if datum.previous is None:
            return ()
        if self._previous is None:
            raise UnfitDatum(f"nobody reads what datum {datum.previous[0]} wrote, which this one begins with")
        return self._previous.of(datum)

    def _lay_out(self, datum: DatumPlan, root: Path) -> Iterator[tuple[InputPlan, Path]]:
        """Make the datum's directories, pipes and stand-ins; what is left are inputs to download, and where to."""
        for item in datum.inputs:
            _check_name(item.name)
        root.mkdir(parents=True)
        for name in (OUT, *(item.name for item in datum.inputs)):
            make_directory(root / name)
        for item in distinct_inputs(datum):
            path = item.path.strip("/")
            if path and item.before is not None and isinstance(self._trees.find(item), Directory):
                # Its variable names it, also when nothing in it is new.
                _place(root / item.name, path).mkdir(parents=True, exist_ok=True)
            if item.lazy:
                make_pipes(self._trees.entries(item), root / item.name)
            elif item.empty_files:
                make_stand_ins(self._trees.entries(item), root / item.name)
            else:
                yield item, root / item.name

    def _files(self, whole: list[tuple[InputPlan, Path]]) -> Iterator[tuple[Entry, Path]]:
        for item, directory in whole:
            for entry in self._trees.entries(item):
                yield entry, _place(directory, entry.path)


def _handed_over(out: Path, entries: Sequence[Entry]) -> dict[str, tuple[Entry, int]]:
    """Let the user's code change the files that `out` begins with; they, by path, with their inodes."""
    if entries:
        make_writable(out)
    return {entry.path: (entry, (out / entry.path).lstat().st_ino) for entry in entries}


def distinct_inputs(datum: DatumPlan) -> list[InputPlan]:
    """The datum's inputs without those that lie inside another input of the same name (groups may overlap)."""
    kept: list[InputPlan] = []
    for item in sorted(datum.inputs, key=lambda item: (item.name, item.path.strip("/").split("/"))):
        path = item.path.strip("/")
        if kept and kept[-1].name == item.name:
            outer = kept[-1].path.strip("/")
            if not outer or path == outer or path.startswith(f"{outer}/"):
                continue
        kept.append(item)
    return kept


def find_input(datum: DatumPlan, name: str, parts: Sequence[str]) -> InputPlan | None:
    """The input of this name that holds the path, if there is one."""
    path = "/".join(parts)
    for item in datum.inputs:
        inside = item.path.strip("/")
        if item.name == name and (not inside or path == inside or path.startswith(f"{inside}/")):
            return item
    return None


def make_pipes(entries: Iterable[Entry], directory: Path) -> None:
    """Named pipes in place of files."""
    for count, entry in enumerate(entries):
        if count >= MAX_LAZY_FILES:
            raise UnfitDatum(
                f"a lazy input has more than {MAX_LAZY_FILES:,} files in one datum: use a finer glob, or lazy=False"
            )
        path = _place(directory, entry.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path, 0o666)


def make_stand_ins(entries: Iterable[Entry], directory: Path) -> None:
    """Files without content in place of files."""
    for entry in entries:
        path = _place(directory, entry.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _check_name(name: str) -> None:
    if name in RESERVED_NAMES or "/" in name or "\0" in name:
        raise UnfitDatum(f"an input cannot be named {name!r}: it would not be a directory of its own under /pfs")


def _place(directory: Path, path: str) -> Path:
    # Trees hold no such paths; a worker with credentials checks all the same before it writes.
    if path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
        raise UnfitDatum(f"the commit has a file {path!r}, which cannot lie under {directory.name}/")
    return directory / path
