"""Putting sources of every kind, together: into the open commit of a branch, else as one commit."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from airflow_pachy.cli.progress import is_shown, transfer_progress
from airflow_pachy.errors import BranchNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_pachy.cli.sources import Source
    from airflow_pachy.pfs import Pfs, Split
    from airflow_pachy.pfs.local_directories import LocalDirectory

    Progress = Callable[[int, int], None]

# Smaller files are done before a bar would move.
_SHOWN_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class How:
    """What the options of `pachy put file` say about all its sources. `options` are for URLs."""

    recursive: bool = False
    append: bool = False
    parallel: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    split: Split | None = None
    own_commit: bool = False
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    read_all: bool = False
    ahead: LocalDirectory | None = None


@contextmanager
def read_ahead(sources: Sequence[Source], how: How) -> Iterator[How]:
    """Read a directory that is all there is to put while what writes it is still being imported, where that is safe."""
    if len(sources) != 1 or sources[0].kind != "directory" or how.append:
        yield how
        return
    from airflow_pachy.pfs.local_directories import read_ahead as begin
    from airflow_pachy.pfs.seen_files import SeenFiles

    local = Path(sources[0].origin)
    directory = begin(local, SeenFiles.of(local, os.environ), read_all=how.read_all)
    try:
        yield replace(how, ahead=directory)
    finally:
        directory.close()


def put_sources(pfs: Pfs, commit: str, sources: Sequence[Source], how: How) -> None:
    """Put all sources, or none when one of them fails (in a commit that was open before, those before it stay)."""
    total = _total_bytes(sources) if is_shown() else None
    with _one_commit(pfs, commit, sources, how) as target, transfer_progress(commit, total) as progress:
        # What is appended or cut into pieces keeps its order.
        if how.parallel is None or how.parallel < 2 or how.append or how.split is not None or len(sources) < 2:
            for source in sources:
                _put(target, source, how, progress)
            return
        with ThreadPoolExecutor(how.parallel, "put") as pool:
            futures = [pool.submit(_put, target, source, how, progress) for source in sources]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _total_bytes(sources: Sequence[Source]) -> int | None:
    """How much there is to put; None if nobody knows beforehand. Directories are walked through for it."""
    from airflow_pachy.pfs.local_files import walk_local

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

    def put_dir(
        self, path: str, local: str | LocalDirectory, *, append: bool, progress: Progress, read_all: bool
    ) -> None: ...

    def put_split(self, path: str, data: Path | BinaryIO, split: Split) -> None: ...

    def put_url(self, path: str, url: str, **options: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class _Branch:
    """A branch or commit as a target: every call goes into the open commit, or is a commit by itself."""

    pfs: Pfs
    commit: str

    def put_file(self, path: str, data: Path | BinaryIO, *, append: bool, executable: bool | None = None) -> None:
        self.pfs.put_file(f"{self.commit}:{path}", data, append, executable=executable)

    def put_dir(
        self, path: str, local: str | LocalDirectory, *, append: bool, progress: Progress, read_all: bool
    ) -> None:
        self.pfs.put_dir(f"{self.commit}:{path}", local, append, progress=progress, read_all=read_all)

    def put_split(self, path: str, data: Path | BinaryIO, split: Split) -> None:
        self.pfs.put_split(
            f"{self.commit}:{path}",
            data,
            split.delimiter,
            split.target_file_datums,
            split.target_file_bytes,
            split.header_records,
            overwrite=split.overwrite,
        )

    def put_url(self, path: str, url: str, **options: Any) -> None:
        self.pfs.put_url(f"{self.commit}:{path}", url, **options)


def _put(target: _Target, source: Source, how: How, progress: Progress) -> None:
    if source.kind == "url":
        options = {"recursive": how.recursive, "append": how.append, "options": how.options, "split": how.split}
        parallel = {} if how.parallel is None else {"parallel": how.parallel}
        target.put_url(source.path, source.origin, progress=progress, **options, **parallel)
    elif source.kind == "directory":
        local = source.origin if how.ahead is None else how.ahead
        target.put_dir(source.path, local, append=how.append, progress=progress, read_all=how.read_all)
    elif source.kind == "stdin":
        _put_stream(target, source, sys.stdin.buffer, how, progress)
    elif how.split is None and (source.size_bytes or 0) < _SHOWN_BYTES:
        target.put_file(source.path, Path(source.origin), append=how.append)
        progress(1, source.size_bytes or 0)
    else:
        with Path(source.origin).open("rb") as file:
            _put_stream(target, source, file, how, progress)


def _put_stream(target: _Target, source: Source, stream: BinaryIO, how: How, progress: Progress) -> None:
    counted = _counted(stream, progress)
    if how.split is not None:
        target.put_split(source.path, counted, how.split)
    else:
        executable = os.access(source.origin, os.X_OK) if source.kind == "file" else None
        target.put_file(source.path, counted, append=how.append, executable=executable)
    progress(1, 0)


@contextmanager
def _one_commit(pfs: Pfs, commit: str, sources: Sequence[Source], how: How) -> Iterator[_Target]:
    """Where to put: one source is a commit by itself, several need one around them unless one is open already."""
    alone = len(sources) == 1 and not how.description and not how.labels
    if not how.own_commit and (alone or _is_open(pfs, commit)):
        yield _Branch(pfs, commit)
        return
    with pfs.commit(commit, description=how.description, labels=how.labels) as opened:
        # Everything but small files goes through the client, to which the commit is an address.
        yield _Opened(pfs, str(opened), opened) if how.split is None else _Branch(pfs, str(opened))


@dataclass(frozen=True, slots=True)
class _Opened(_Branch):
    """A commit of our own: small files are packed together."""

    opened: Any

    def put_file(self, path: str, data: Path | BinaryIO, *, append: bool, executable: bool | None = None) -> None:
        self.opened.put_file(path, data, append=append, executable=executable)


def _is_open(pfs: Pfs, commit: str) -> bool:
    from airflow_pachy.pfs import parse_address

    address = parse_address(commit)
    if address.is_commit_id:
        return True
    try:
        return pfs.inspect_branch(str(address)).open_commit is not None
    except BranchNotFound:
        return False


def _counted(stream: BinaryIO, progress: Progress) -> BinaryIO:
    return cast("BinaryIO", _Counted(stream, progress))


class _Counted:
    """A stream that tells how much of it was read."""

    def __init__(self, stream: BinaryIO, progress: Progress) -> None:
        self._stream = stream
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the stream."""
        data = self._stream.read(size)
        self._progress(0, len(data))
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
