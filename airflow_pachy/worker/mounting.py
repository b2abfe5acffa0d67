"""Moving a staged datum under /pfs and back: renames of its directories, whatever their size."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_pachy.worker.disk import CONTROL, remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


@contextmanager
def moved(root: Path, names: Iterable[str], pfs: Path) -> Iterator[None]:
    """Have these directories of `root`, a datum's inputs and `out`, under `pfs` for as long as the block lasts.

    Afterwards everything that lies in `pfs`, also what the user's code made beside `out`, is in
    `root`, and goes when that is removed.
    """
    for stray in _visible(pfs):
        remove_tree(stray)
    for name in names:
        (root / name).rename(pfs / name)
    try:
        yield
    finally:
        for path in _visible(pfs):
            path.rename(root / path.name)


def _visible(pfs: Path) -> list[Path]:
    return [path for path in pfs.iterdir() if path.name != CONTROL]
