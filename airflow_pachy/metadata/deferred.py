"""A metadata database that is opened when more is asked of it than a glance answers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

from airflow_pachy.metadata.glance import Glance
from airflow_pachy.metadata.head import HEAD_REVISION

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from airflow_pachy.metadata.database import Metadata


def open_metadata(url: str, *, pooled: bool = True) -> Metadata:
    """The database at `url`, with its tables made, or checked to be those of this code.

    Of an SQLite file that is ready only this is looked at; all else is imported and opened at the first other use.
    Raises `InvalidArgument`, `MetadataUnavailable`, `SchemaMismatch`.
    """
    glance = Glance.of(url)
    if glance is not None:
        if glance.revision() == HEAD_REVISION:
            return cast("Metadata", _Deferred(url, glance, pooled=pooled))
        glance.close()
    metadata = _open(url, pooled=pooled)
    try:
        metadata.ensure_ready()
    except BaseException:
        metadata.close()
        raise
    return metadata


class _Deferred:
    """What is asked of it goes to a `Metadata` that is opened then; before, to a glance where that will do."""

    def __init__(self, url: str, glance: Glance, *, pooled: bool) -> None:
        self._url = url
        self._pooled = pooled
        self._glance = glance
        self._opening = threading.Lock()
        self._opened: Metadata | None = None
        self._hooks: tuple[Callable[[Session], None], Callable[[Session], None]] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # asked by `copy` and its like, also of objects that were never initialised
            raise AttributeError(name)
        return getattr(self._open(), name)

    @property
    def glance(self) -> Glance | None:
        """For reading, as long as nothing else was done: a transaction that is open would see more."""
        return self._glance if self._opened is None else None

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is in `transaction()`."""
        return self._opened is not None and self._opened.in_transaction

    def on_commit(self, before: Callable[[Session], None], after: Callable[[Session], None]) -> None:
        """As `Metadata.on_commit`."""
        with self._opening:
            self._hooks = (before, after)
            if self._opened is not None:
                self._opened.on_commit(before, after)

    def ensure_ready(self) -> None:
        """It is."""

    def close(self) -> None:
        """Close what is open."""
        with self._opening:
            self._glance.close()
            if self._opened is not None:
                self._opened.close()

    def _open(self) -> Metadata:
        with self._opening:
            if self._opened is None:
                metadata = _open(self._url, pooled=self._pooled)
                if self._hooks is not None:
                    metadata.on_commit(*self._hooks)
                self._opened = metadata
                self._glance.close()
            return self._opened


def _open(url: str, *, pooled: bool) -> Metadata:
    from airflow_pachy.metadata.database import Metadata

    return Metadata.open(url, pooled=pooled)
