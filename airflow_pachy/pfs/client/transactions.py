"""Transactions: what users call."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from airflow_pachy.pfs.client.base import Client

if TYPE_CHECKING:
    from collections.abc import Iterator


class TransactionVerbs(Client):
    """Several operations, all or none."""

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """Make everything that is done in the block, with this client and in this thread, happen at once or not at all.

        Each operation sees those before it; others see all of them when the block ends, or none when it raises. An
        operation that fails and is caught takes back only itself. Files may be put as well, but on SQLite everybody
        else waits while the bytes travel; put them into a commit opened before, and finish that in the transaction.
        Waiting (`wait_commit`, `flush_commit`, `subscribe_commit`) is refused. Raises `Conflict` for a nested one.
        """
        try:
            with self._root.metadata.transaction():
                yield self
        except BaseException:
            self.opened.reset()
            raise
