"""Progress on standard error, only when somebody looks at it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def is_shown() -> bool:
    """Whether anybody sees the progress."""
    return sys.stderr.isatty()


@contextmanager
def transfer_progress(title: str, total_bytes: int | None) -> Iterator[Callable[[int, int], None]]:
    """A bar of bytes; yields what to call with numbers of files and bytes done. Silent when stderr is no terminal.

    Without a total there is no bar, but the amount and the rate. Files are shown when there are several.
    """
    if not is_shown():
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[files]}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total_bytes, files="")
        files = 0

        def advance(done_files: int, done_bytes: int) -> None:
            nonlocal files
            files += done_files
            progress.update(task, advance=done_bytes, files=f"{files:,} files" if files > 1 else "")

        yield advance


def _nothing(done_files: int, done_bytes: int) -> None:
    del done_files, done_bytes
