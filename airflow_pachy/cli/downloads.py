"""Where `pachy get file` writes: standard output, a file that appears when it is complete, a directory."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from airflow_pachy.cli.progress import transfer_progress
from airflow_pachy.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs import FileInfo, Pfs

_WINDOW_BYTES = 4 << 20
STDOUT = "-"


def download_file(pfs: Pfs, address: str, info: FileInfo, output: str | None) -> None:
    """Write one file to `output`: a path, an existing directory, or standard output for None and `-`."""
    if output in {None, STDOUT}:
        with pfs.open_file(address) as source:
            shutil.copyfileobj(source, sys.stdout.buffer, _WINDOW_BYTES)
        sys.stdout.buffer.flush()
        return
    target = _target(str(output), info)
    with (
        pfs.open_file(address) as source,
        _appearing(target, executable=info.executable) as file,
        transfer_progress(target.name, info.size_bytes) as progress,
    ):
        while window := source.read(_WINDOW_BYTES):
            file.write(window)
            progress(len(window))


def download_directory(pfs: Pfs, address: str, info: FileInfo, output: str) -> None:
    """Write all files below a directory of the repo below a local one, which is made if it is not there."""
    target = Path(output)
    if target.exists() and not target.is_dir():
        raise InvalidArgument(f"{target} is a file; a directory of the repo needs a directory to be written to")
    with transfer_progress(info.path, info.size_bytes) as progress:
        pfs.get_dir(address, target, progress=lambda _files, done_bytes: progress(done_bytes))


def _target(output: str, info: FileInfo) -> Path:
    target = Path(output)
    if output.endswith("/") or target.is_dir():
        target = target / Path(info.path).name
    if not target.parent.is_dir():
        raise InvalidArgument(f"there is no directory {target.parent} to write {target.name} to; make it first")
    return target


@contextmanager
def _appearing(target: Path, *, executable: bool) -> Iterator[BinaryIO]:
    """A file beside `target` that takes its name when the block ends well, and vanishes when it does not."""
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
