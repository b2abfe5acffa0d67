"""Where `pachy get file` writes: standard output, a file that appears when it is complete, a directory."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from airflow_pachy.cli.progress import transfer_progress
from airflow_pachy.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs import FileInfo, Pfs

_WINDOW_BYTES = 4 << 20
STDOUT = "-"


@dataclass(frozen=True, slots=True)
class Part:
    """Which bytes of a file: `length` of them, or all, from `offset` on."""

    offset: int = 0
    length: int | None = None

    def __bool__(self) -> bool:
        return self.offset > 0 or self.length is not None


def open_with_writer(session: Session, commit: str) -> None:
    """Open the client, with the store in a process that writes files as well, where there can be one."""
    from airflow_pachy.cli.session import READING
    from airflow_pachy.pfs.content.second_writer import SecondWriter, shared_work

    shared = shared_work()
    store = session.begin(shared)  # first: a fork is safe only in a small process
    if store is not None:
        session.pfs_for(READING, commit).content_reader.second_writer = SecondWriter(store, shared.rooms)


def download_file(pfs: Pfs, address: str, info: FileInfo, output: str | None, part: Part) -> None:
    """Write one file to `output`: a path, an existing directory, or standard output for None and `-`."""
    if part:
        # Fetched as such: a stream reads ahead.
        windows = _ranges(pfs, address, info.size_bytes, part)
        if output in {None, STDOUT}:
            _print(windows)
        else:
            _write(windows, _target(str(output), info.path), info)
        return
    with pfs.open_file(address) as source:
        if output in {None, STDOUT}:
            _print(_windows(source))
        else:
            _write(_windows(source), _target(str(output), info.path), info)


def download_matches(pfs: Pfs, address: str, output: str | None, *, recursive: bool) -> None:
    """Write what a pattern matches: joined to a file or standard output, or as files below a directory."""
    commit, _, pattern = address.partition(":")
    if output in {None, STDOUT}:
        _print(pfs.get_files(commit, pattern))
    elif recursive or str(output).endswith("/") or Path(str(output)).is_dir():
        with transfer_progress(pattern, None) as progress:
            pfs.get_dir(address, Path(str(output)), progress=progress)
    else:
        _write(pfs.get_files(commit, pattern), _target(str(output), ""), None)


def is_pattern(address: str) -> bool:
    """Whether the path of an address has wildcards."""
    from airflow_pachy.pfs.edits import is_glob

    return is_glob(address.partition(":")[2])


def _windows(source: BinaryIO) -> Iterator[bytes]:
    while window := source.read(_WINDOW_BYTES):
        yield window


def _ranges(pfs: Pfs, address: str, size_bytes: int, part: Part) -> Iterator[bytes]:
    end = size_bytes if part.length is None else min(size_bytes, part.offset + part.length)
    for start in range(part.offset, end, _WINDOW_BYTES):
        yield pfs.get_file(address, start, min(_WINDOW_BYTES, end - start))


def _print(windows: Iterator[bytes]) -> None:
    output = sys.stdout.buffer
    for window in windows:
        left = memoryview(window)
        while left:  # with PYTHONUNBUFFERED, a pipe or a disk may take only a part
            left = left[output.write(left) or 0 :]
    output.flush()


def _write(windows: Iterator[bytes], target: Path, info: FileInfo | None) -> None:
    with (
        _appearing(target, executable=info is not None and info.executable) as file,
        transfer_progress(target.name, info.size_bytes if info is not None else None) as progress,
    ):
        for window in windows:
            file.write(window)
            progress(0, len(window))


def download_directory(pfs: Pfs, address: str, info: FileInfo, output: str) -> None:
    """Write all files below a directory of the repo below a local one, which is made if it is not there."""
    target = Path(output)
    if target.exists() and not target.is_dir():
        raise InvalidArgument(f"{target} is a file; a directory of the repo needs a directory to be written to")
    with transfer_progress(info.path, info.size_bytes) as progress:
        pfs.get_dir(address, target, progress=progress)


def _target(output: str, path: str) -> Path:
    """The file to write for `output`, which may be the directory for a file of the name that `path` has."""
    target = Path(output)
    if output.endswith("/") or target.is_dir():
        target = target / Path(path).name
    if not target.parent.is_dir():
        raise InvalidArgument(f"there is no directory {target.parent} to write {target.name} to; make it first")
    return target


@contextmanager
def _appearing(target: Path, *, executable: bool) -> Iterator[BinaryIO]:
    """A file beside `target` that takes its name when the block ends well, and vanishes when it does not."""
    import tempfile  # before a fork it would be in the way

    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
        partial = Path(file.name)
        try:
            yield file  # type: ignore[misc]  # a wrapper with the same methods
            file.close()
            # The temporary file is private to its owner; the result has the rights a new file would have.
            partial.chmod((0o777 if executable else 0o666) & ~_umask())
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _umask() -> int:
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask
