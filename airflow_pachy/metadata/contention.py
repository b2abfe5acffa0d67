"""Transactions that a database server gave up because of others, and doing them again.

InnoDB resolves a deadlock by rolling one of its parties back, and it comes to deadlocks in the most ordinary ways (two
transactions insert the same key, and then update the row); PostgreSQL does the same for the deadlocks that it sees.
Nothing is wrong with the one that was chosen: done again, it succeeds.
"""

from __future__ import annotations

import random
import time
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from airflow_pachy.errors import MetadataContended

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_pachy.metadata.database import Metadata

TRIES = 10
PATIENCE_SECONDS = 60.0
"""No further try is begun after this: a lock that is held for long is nobody's accident."""
_FIRST_WAIT_SECONDS = 0.01
_LONGEST_WAIT_SECONDS = 1.0

# Deadlock; lock wait timeout; "record has changed since last read" (MariaDB 11).
_MYSQL_CODES = {1213, 1205, 1020}
# "SAVEPOINT x does not exist" is what the end of a savepoint says when a deadlock inside it has rolled back the whole
# transaction. The same code is given for functions and procedures, which will not exist the next time either.
_MYSQL_DOES_NOT_EXIST = 1305
# Deadlock; serialization failure; lock not available.
_SQL_STATES = {"40P01", "40001", "55P03"}


class HasMetadata(Protocol):
    """A root or a client."""

    @property
    def metadata(self) -> Metadata:
        """Its database."""


P = ParamSpec("P")
T = TypeVar("T")
H = TypeVar("H", bound=HasMetadata)


def is_contention(error: BaseException | None) -> bool:
    """Whether a driver's error says that a transaction was given up for the sake of others."""
    code: Any = error.args[0] if error is not None and error.args else None
    if code == _MYSQL_DOES_NOT_EXIST:
        return "SAVEPOINT" in str(error)
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return code in _MYSQL_CODES or state in _SQL_STATES


def retried(work: Callable[Concatenate[H, P], T]) -> Callable[Concatenate[H, P], T]:
    """Have a function whose first argument is a root or a client done again when its transaction was given up.

    It must be one transaction, or several that may each be done again. Inside `Metadata.transaction()` the whole of
    that is lost, so `MetadataContended` goes to whoever began it; and after `TRIES` to the caller.
    """

    @wraps(work)
    def patient(owner: H, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return retry(owner.metadata, lambda: work(owner, *args, **kwargs))

    return patient


def retry(metadata: Metadata, work: Callable[[], T]) -> T:
    """The same for a call: `work()`, again for as long as its transactions are given up."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    for attempt in range(TRIES - 1):
        try:
            return work()
        except MetadataContended:
            if metadata.in_transaction or time.monotonic() > give_up:
                raise
            longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**attempt)
            time.sleep(random.uniform(longest / 4, longest))  # noqa: S311 - jitter, not a secret
    return work()
