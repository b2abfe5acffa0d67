"""One transaction shared by several operations, each of which believes it has one of its own.

Operations open a session, work and close it. While a thread has a transaction open, those sessions are savepoints of
it: an operation that fails takes back what it did itself, and the transaction may go on or not. Each operation begins
with nothing in the session's memory, since rows may have been changed by SQL behind its back.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.orm import Session


class SharedTransaction:
    """The open transaction of a thread, and what is to happen when it has ended."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._after_commit: list[Callable[[], None]] = []
        self._on_rollback: list[Callable[[], None]] = []

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One operation that writes."""
        try:
            with self._session.begin_nested():
                yield self._session
        finally:
            self._session.expunge_all()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One operation that reads; it sees what those before it wrote."""
        try:
            yield self._session
        finally:
            self._session.expunge_all()

    def after_commit(self, action: Callable[[], None]) -> None:
        """Have something done once the transaction has ended well, in the order of the calls."""
        self._after_commit.append(action)

    def on_rollback(self, action: Callable[[], None]) -> None:
        """Have something undone if it has not, in the reverse order."""
        self._on_rollback.append(action)

    def committed(self) -> None:
        """Do what was asked for."""
        for action in self._after_commit:
            action()

    def rolled_back(self, error: BaseException) -> None:
        """Undo what can be; what cannot is noted on the error, which goes on."""
        for action in reversed(self._on_rollback):
            try:
                action()
            except Exception as second:  # noqa: BLE001 - the first error is the cause, and must be the one that is seen
                error.add_note(f"Besides, something outside the database could not be undone: {second}")
