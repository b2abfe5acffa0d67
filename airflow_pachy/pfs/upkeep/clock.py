"""The store's own clock: ages of objects are told by it, so nobody else's may decide what is old."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.pfs.objects import new_ulid

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_pachy.pfs.objects.store import ObjectStore


def store_now(store: ObjectStore) -> datetime:
    """The present by the store's clock: the time that it gives a small object written now."""
    key = f"probe/clock-{new_ulid()}"
    store.put(key, b"")
    try:
        return store.head(key).modified
    finally:
        store.delete([key])
