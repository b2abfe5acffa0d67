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
def transfer_progress(title: str, total_bytes: int | None) -> Iterator[Callable[[int], None]]:
    """A bar of bytes; yields what to call with each number of bytes done. Silent when stderr is not a terminal.

    Without a total there is no bar, but the amount and the rate.
    """
    if not is_shown():
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total_bytes)
        yield lambda done_bytes: progress.advance(task, done_bytes)


def _nothing(done_bytes: int) -> None:
    del done_bytes
