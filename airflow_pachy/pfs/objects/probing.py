"""Does this store keep its promises? Asked once per root, when its `format.json` is made."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_pachy.errors import ObjectExists, PachyError, StoreUnfit
from airflow_pachy.pfs.objects.ulid import new_ulid

if TYPE_CHECKING:
    from airflow_pachy.pfs.objects.store import ObjectStore


def probe(store: ObjectStore) -> None:
    """Write, read and list a few small objects under `probe/` and delete them again.

    Raises `StoreUnfit` naming the missing behaviour, `StoreDenied` when a right is missing, `StoreUnavailable`.
    """
    folder = f"probe/{new_ulid()}"
    # In this order by UTF-8 bytes; a case-blind or locale-aware listing would turn them round.
    keys = [f"{folder}/{name}" for name in ("B", "a", "a.b", "é")]
    store.put(keys[0], b"0123456789", if_absent=True)  # a store that refuses this has nothing to be cleaned up
    try:
        for key in keys[1:]:
            store.put(key, b"0123456789", if_absent=True)
        _check_create_only(store, keys[0])
        _check_reads(store, keys[0])
        _check_listing(store, folder, keys)
    except PachyError:
        # What was found counts, not that cleaning up after it may fail too.
        with suppress(PachyError):
            store.delete(keys)
        raise
    store.delete(keys)


def _check_create_only(store: ObjectStore, key: str) -> None:
    try:
        store.put(key, b"other", if_absent=True)
    except ObjectExists:
        return
    raise StoreUnfit(
        f"{store.url} overwrites an object although the PUT says If-None-Match: *, so two writers could destroy each "
        "other's work; use a store with conditional writes (AWS S3, Ceph >= 18, MinIO, ...)"
    )


def _check_reads(store: ObjectStore, key: str) -> None:
    found = store.get(key, offset=2, length=3)
    if found != b"234":
        raise StoreUnfit(
            f"{store.url} answers a range read of 3 bytes with {len(found)} other bytes; it must honour Range"
        )


def _check_listing(store: ObjectStore, folder: str, keys: list[str]) -> None:
    found = [info.key for info in store.list_keys(f"{folder}/")]
    if found != keys:
        raise StoreUnfit(
            f"{store.url} lists new keys as {found} instead of {keys}; it must list in byte order and at once"
        )
