"""Where Arrow takes memory from while a job is planned or assembled, and when it gives it back."""

from __future__ import annotations

import os

import pyarrow as pa

from airflow_pachy.pfs.tree.cache import shared

_MANY = 200_000


def use_plain_memory() -> None:
    """Have Arrow take memory in this process as all other code does, unless `ARROW_DEFAULT_MEMORY_POOL` says how.

    Its own allocator keeps huge pages for each thread. Leaves are decoded by threads that end soon, so a plan that
    reads forty of them would clear a gigabyte, which takes longer than all the rest of it.
    """
    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
        pa.set_memory_pool(pa.system_memory_pool())


def release_memory(count: int) -> None:
    """Give back what work on so many rows took: nobody reads these nodes again soon, and what follows needs it."""
    if count >= _MANY:
        shared.clear()
        pa.default_memory_pool().release_unused()
