"""Where Arrow takes memory from while a job is planned or assembled, and when it gives it back."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_pachy.pfs.tree.cache import shared

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY_ROWS = 200_000
"""Work on more than a million rows goes by slices of about so many, and gives memory back behind each."""


@contextmanager
def plain_memory() -> Iterator[None]:
    """Meanwhile Arrow takes memory as all other code does, unless `ARROW_DEFAULT_MEMORY_POOL` says how.

    Its own allocator keeps huge pages for each thread. Leaves are decoded by threads that end soon, so a plan that
    reads forty of them would clear a gigabyte, which takes longer than all the rest of it. Arrow has one pool for the
    process: whatever else the process does with Arrow takes from it too until this ends, and gives back where it took.
    """
    if "ARROW_DEFAULT_MEMORY_POOL" in os.environ:
        yield
        return
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def release_memory(count: int) -> None:
    """Give back what work on so many rows took: nobody reads these nodes again soon, and what follows needs it."""
    if count >= MANY_ROWS:
        shared.clear()
        pa.default_memory_pool().release_unused()
