"""Object stores: S3, a local directory, memory; and wrappers over them.

Names load on first use: a root is in one kind of store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.lazy import exports

if TYPE_CHECKING:
    from airflow_pachy.pfs.objects.local import LocalStore
    from airflow_pachy.pfs.objects.memory import MemoryStore
    from airflow_pachy.pfs.objects.opening import open_store
    from airflow_pachy.pfs.objects.probing import probe
    from airflow_pachy.pfs.objects.store import ObjectInfo, ObjectStore
    from airflow_pachy.pfs.objects.ulid import new_ulid
    from airflow_pachy.pfs.objects.wrappers import CountingStore, Counts

__all__ = [
    "CountingStore",
    "Counts",
    "LocalStore",
    "MemoryStore",
    "ObjectInfo",
    "ObjectStore",
    "new_ulid",
    "open_store",
    "probe",
]

_HOMES = {
    "CountingStore": "wrappers",
    "Counts": "wrappers",
    "LocalStore": "local",
    "MemoryStore": "memory",
    "ObjectInfo": "store",
    "ObjectStore": "store",
    "new_ulid": "ulid",
    "open_store": "opening",
    "probe": "probing",
}

__getattr__, __dir__ = exports(__name__, _HOMES)
