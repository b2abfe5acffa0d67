"""Putting sources of every kind, together: into the open commit of a branch, else as one commit."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from airflow_pachy.cli.progress import is_shown, transfer_progress
from airflow_pachy.errors import BranchNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_pachy.cli.sources import Source
    from airflow_pachy.pfs import Pfs

# Smaller files are done before a bar would move.
_SHOWN_BYTES = 8 << 20


def put_sources(pfs: Pfs, commit: str, sources: Sequence[Source], *, recursive: bool, append: bool) -> None:
    """Put all sources, or none when one of them fails (in a commit that was open before, those before it stay)."""
    total = _total_bytes(sources) if is_shown() else None
    with _one_commit(pfs, commit, sources) as target, transfer_progress(commit, total) as progress:
        for source in sources:
            _put(target, source, progress, recursive=recursive, append=append)


def _total_bytes(sources: Sequence[Source]) -> int | None:
    """How much there is to put; None if nobody knows beforehand. Directories are walked through for it."""
    from airflow_pachy.pfs.uploads import walk_local

    total = 0
    for source in sources:
        if source.kind == "directory":
            total += sum(found.size_bytes for found in walk_local(Path(source.origin)))
        elif source.size_bytes is None:
            return None
        else:
            total += source.size_bytes
    return total


class _Target(Protocol):
    """What a commit offers for writing."""

    def put_file(self, path: str, data: Path | BinaryIO, *, append: bool, executable: bool | None = None) -> None: ...

    def put_dir(self, path: str, local: Path | str, *, append: bool, progress: Callable[[int, int], None]) -> None: ...

    def put_url(self, path: str, url: str, *, recursive: bool, append: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class _Branch:
    """A branch as a target: every call goes into its open commit, or is a commit by itself."""

    pfs: Pfs
    commit: str

    def put_file(self, path: str, data: Path | BinaryIO, *, append: bool, executable: bool | None = None) -> None:
        self.pfs.put_file(f"{self.commit}:{path}", data, append, executable=executable)

    def put_dir(self, path: str, local: Path | str, *, append: bool, progress: Callable[[int, int], None]) -> None:
        self.pfs.put_dir(f"{self.commit}:{path}", local, append, progress=progress)

    def put_url(self, path: str, url: str, *, recursive: bool, append: bool) -> None:
        self.pfs.put_url(f"{self.commit}:{path}", url, recursive, append=append)


def _put(target: _Target, source: Source, progress: Callable[[int], None], *, recursive: bool, append: bool) -> None:
    if source.kind == "url":
        target.put_url(source.path, source.origin, recursive=recursive, append=append)
    elif source.kind == "directory":
        target.put_dir(
            source.path, source.origin, append=append, progress=lambda _files, done_bytes: progress(done_bytes)
        )
    elif source.kind == "stdin":
        target.put_file(source.path, _counted(sys.stdin.buffer, progress), append=append)
    elif (source.size_bytes or 0) < _SHOWN_BYTES:
        target.put_file(source.path, Path(source.origin), append=append)
        progress(source.size_bytes or 0)
    else:
        executable = os.access(source.origin, os.X_OK)
        with Path(source.origin).open("rb") as file:
            target.put_file(source.path, _counted(file, progress), append=append, executable=executable)


@contextmanager
def _one_commit(pfs: Pfs, commit: str, sources: Sequence[Source]) -> Iterator[_Target]:
    """Where to put: one source is a commit by itself, several need one around them unless one is open already."""
    if len(sources) == 1 or _is_open(pfs, commit):
        yield _Branch(pfs, commit)
        return
    with pfs.commit(commit) as opened:
        yield opened


def _is_open(pfs: Pfs, commit: str) -> bool:
    from airflow_pachy.pfs import parse_address

    address = parse_address(commit)
    if address.is_commit_id:
        return True
    try:
        return pfs.inspect_branch(str(address)).open_commit is not None
    except BranchNotFound:
        return False


def _counted(stream: BinaryIO, progress: Callable[[int], None]) -> BinaryIO:
    return cast("BinaryIO", _Counted(stream, progress))


class _Counted:
    """A stream that tells how much of it was read."""

    def __init__(self, stream: BinaryIO, progress: Callable[[int], None]) -> None:
        self._stream = stream
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the stream."""
        data = self._stream.read(size)
        self._progress(len(data))
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
