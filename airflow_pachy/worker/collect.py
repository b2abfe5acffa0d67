"""Turning what a datum left in /pfs/out into entries of the output commit.

Regular files are uploaded. A link to an input of the same datum becomes a reference to the bytes
that the input's commit already holds, and moves nothing; a link to something in out stands for it.
Whatever else lies there is refused by name: a link elsewhere would make us, who hold the
credentials, upload a file that the datum may not even have seen.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_pachy.errors import DatumFailed
from airflow_pachy.pfs.tree.entries import Entry
from airflow_pachy.worker.beneath import LeavesPfs, open_readable, resolve, stat_beneath
from airflow_pachy.worker.disk import OUT
from airflow_pachy.worker.staging import InputTrees, StagedDatum, find_input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.content import ContentWriter

Parts = tuple[str, ...]


class BadOutput(DatumFailed):
    """Something under /pfs/out that cannot become a file of the output commit; the message names it."""


@dataclass(frozen=True, slots=True)
class Output:
    """The files of one datum, sorted by path, and how many bytes of them were new."""

    entries: tuple[Entry, ...]
    uploaded_bytes: int


@dataclass(frozen=True, slots=True)
class _Folder:
    """A directory to walk: where it really is, what it is called in the output, and the links that led there."""

    parts: Parts
    shown: str
    through: frozenset[Parts] = frozenset()


def collect(staged: StagedDatum, trees: InputTrees, writer: ContentWriter, pfs_path: str) -> Output:
    """Upload or reference every file under the datum's `out`.

    `pfs_path` is what the user's code called the directory above `out`. Raises `BadOutput`, and the
    store's errors; the content is durable after `writer.flush()`.
    """
    root_fd = os.open(staged.root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return _Collection(staged, trees, writer, pfs_path, root_fd).run()
    finally:
        os.close(root_fd)


class _Collection:
    def __init__(
        self, staged: StagedDatum, trees: InputTrees, writer: ContentWriter, pfs_path: str, root_fd: int
    ) -> None:
        self._staged = staged
        self._trees = trees
        self._writer = writer
        self._pfs_path = pfs_path
        self._root_fd = root_fd
        self._entries: list[Entry] = []
        self._uploaded_bytes = 0

    def run(self) -> Output:
        folders = [_Folder((OUT,), "")]
        while folders:
            folders.extend(self._walk(folders.pop()))
        self._entries.sort(key=lambda entry: entry.path.encode())
        return Output(tuple(self._entries), self._uploaded_bytes)

    def _walk(self, folder: _Folder) -> Iterator[_Folder]:
        """Take the files of a directory, yield its directories."""
        for name in self._list(folder):
            shown = f"{folder.shown}/{name}" if folder.shown else name
            yield from self._take(replace(folder, parts=(*folder.parts, name), shown=_checked(shown)))

    def _list(self, folder: _Folder) -> list[str]:
        try:
            fd = open_readable(self._root_fd, folder.parts, os.O_DIRECTORY)
        except OSError as error:
            raise BadOutput(f"{_path(folder.shown)} is not a directory that we can read: {error.strerror}") from error
        try:
            return sorted(os.listdir(fd))  # noqa: PTH208 - a path could lead elsewhere
        finally:
            os.close(fd)

    def _take(self, place: _Folder) -> Iterator[_Folder]:
        mode = stat_beneath(self._root_fd, place.parts).st_mode
        if stat.S_ISLNK(mode):
            place, mode = self._follow(place)
        if stat.S_ISDIR(mode):
            yield place
        elif place.parts[0] != OUT:
            self._reference(place)
        elif stat.S_ISREG(mode):
            self._upload(place)
        else:
            raise BadOutput(
                f"{_path(place.shown)} is {_kind(mode)}, not a file: write regular files, directories, "
                "and links to inputs into /pfs/out"
            )

    def _follow(self, place: _Folder) -> tuple[_Folder, int]:
        """Where a link leads, and the mode of what is there."""
        try:
            parts = resolve(self._root_fd, place.parts, self._pfs_path)
            mode = stat_beneath(self._root_fd, parts).st_mode
        except LeavesPfs as error:
            raise BadOutput(
                f"{_path(place.shown)} is a link to {error}, which is not an input of this datum: "
                "copy the file into /pfs/out instead"
            ) from error
        except OSError as error:
            why = "it is missing" if error.errno == errno.ENOENT else error.strerror
            raise BadOutput(f"{_path(place.shown)} is a link that leads nowhere ({why}): remove it") from error
        if not parts or (parts[0] != OUT and parts[0] not in self._staged.names):
            raise BadOutput(
                f"{_path(place.shown)} is a link to {self._pfs_path}/{'/'.join(parts)}, "
                "which is not an input of this datum: copy the file into /pfs/out instead"
            )
        if stat.S_ISDIR(mode) and (parts in place.through or place.parts[: len(parts)] == parts):
            raise BadOutput(f"{_path(place.shown)} is a link to a directory that contains it: remove it")
        return replace(place, parts=parts, through=place.through | {parts}), mode

    def _reference(self, place: _Folder) -> None:
        name, *below = place.parts
        item = find_input(self._staged.datum, name, below)
        entry = self._trees.open(item.tree).get("/".join(below)) if item else None
        if item is None or entry is None:
            raise BadOutput(
                f"{_path(place.shown)} is a link to {self._pfs_path}/{'/'.join(place.parts)}, which the datum itself "
                "created among its inputs: write it into /pfs/out instead"
            )
        if not self._staged.unmodified(stat_beneath(self._root_fd, place.parts), item):
            raise BadOutput(
                f"{_path(place.shown)} is a link to {self._pfs_path}/{'/'.join(place.parts)}, which the datum "
                "changed after it was staged: copy the file into /pfs/out instead"
            )
        self._entries.append(replace(entry, path=place.shown, datum=self._staged.datum.id))

    def _upload(self, place: _Folder) -> None:
        fd = open_readable(self._root_fd, place.parts)
        with open(fd, "rb", closefd=True) as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise BadOutput(f"{_path(place.shown)} changed while it was read: end all processes before exiting")
            kept = self._staged.kept("/".join(place.parts[1:]), status)
            if kept is not None:
                self._entries.append(replace(kept, path=place.shown, datum=self._staged.datum.id))
                return
            content = self._writer.write(file)
        self._uploaded_bytes += content.size_bytes
        executable = bool(status.st_mode & 0o111)
        self._entries.append(
            Entry(place.shown, content, executable, self._staged.datum.id, status.st_mtime_ns // 1_000)
        )


def _checked(shown: str) -> str:
    try:
        shown.encode()
    except UnicodeEncodeError as error:
        raise BadOutput(f"{_path(shown)} is not a legal path, since its name is not UTF-8: rename the file") from error
    return shown


def _path(shown: str) -> str:
    path = f"/pfs/out/{shown}" if shown else "/pfs/out"
    return path if path.isprintable() else repr(os.fsencode(path))[1:]


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a block device"}
    return kinds.get(stat.S_IFMT(mode), "a device")
