"""Moving a staged datum under /pfs and back: renames of its directories, whatever their size."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_pachy.worker.disk import CONTROL, OUT, remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_pachy.worker.staging import StagedDatum


@contextmanager
def mounted(staged: StagedDatum, pfs: Path) -> Iterator[None]:
    """Have the datum's inputs and `out` under `pfs` for as long as the block lasts.

    Afterwards everything that lies in `pfs`, also what the user's code made beside `out`, is in
    `staged.root`, and goes when that is removed.
    """
    for stray in _visible(pfs):
        remove_tree(stray)
    for name in (*staged.names, OUT):
        (staged.root / name).rename(pfs / name)
    try:
        yield
    finally:
        for path in _visible(pfs):
            path.rename(staged.root / path.name)


def _visible(pfs: Path) -> list[Path]:
    return [path for path in pfs.iterdir() if path.name != CONTROL]
