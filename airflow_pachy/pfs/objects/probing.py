"""Does this store keep its promises? Asked once per root, when `format.json` is made, and by `pachy config check`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_pachy.errors import Denied, ObjectExists, PachyError, StoreDenied, StoreUnfit, Unavailable
from airflow_pachy.pfs.objects.ulid import new_ulid

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_pachy.pfs.objects.store import ObjectStore

_BODY = b"0123456789"
_OTHER = b"abcdef"
# In this order by UTF-8 bytes; a case-blind or locale-aware listing would turn them round.
_NAMES = ("B", "a", "a.b", "é")


def probe(store: ObjectStore) -> None:
    """Write, read, list and delete a few small objects under `probe/`.

    Raises `StoreUnfit` naming every missing behaviour, `StoreDenied` when only rights are missing, naming each of
    them, `StoreUnavailable`.
    """
    folder = f"probe/{new_ulid()}"
    keys = [f"{folder}/{name}" for name in _NAMES]
    store.put(keys[0], _BODY, if_absent=True)  # a store that refuses this has nothing to be cleaned up
    lacking: list[PachyError] = []
    steps = (_check_others, _check_create_only, _check_reads, _check_listing, _check_overwriting, _check_deleting)
    try:
        for step in steps:
            _note(lacking, step, store, keys)
    except PachyError:
        # What was found counts, not that cleaning up after it may fail too.
        with suppress(PachyError):
            store.delete(keys)
        raise
    if not lacking:
        return
    with suppress(PachyError):
        store.delete(keys)
    if len(lacking) == 1:
        raise lacking[0]
    kind = StoreDenied if all(isinstance(one, Denied) for one in lacking) else StoreUnfit
    numbered = "; ".join(f"({number}) {one}" for number, one in enumerate(lacking, 1))
    raise kind(f"{store.url} lacks {len(lacking)} things that are needed: {numbered}")


def _note(
    lacking: list[PachyError],
    step: Callable[[ObjectStore, list[str]], None],
    store: ObjectStore,
    keys: list[str],
) -> None:
    """Do one step; what it misses does not keep the next from being done, unless nobody answers."""
    try:
        step(store, keys)
    except Unavailable:
        raise
    except PachyError as error:
        lacking.append(error)


def _check_others(store: ObjectStore, keys: list[str]) -> None:
    for key in keys[1:]:
        store.put(key, _BODY, if_absent=True)


def _check_create_only(store: ObjectStore, keys: list[str]) -> None:
    try:
        store.put(keys[0], _BODY[::-1], if_absent=True)
    except ObjectExists:
        return
    store.put(keys[0], _BODY)
    raise StoreUnfit(
        f"{store.url} overwrites an object although the PUT says If-None-Match: *, so two writers could destroy each "
        "other's work; use a store with conditional writes (AWS S3, Ceph >= 18, MinIO, ...)"
    )


def _check_reads(store: ObjectStore, keys: list[str]) -> None:
    found = store.get(keys[0], offset=2, length=3)
    if found != _BODY[2:5]:
        raise StoreUnfit(
            f"{store.url} answers a range read of 3 bytes with {len(found)} other bytes; it must honour Range: is "
            "there a proxy or gateway in between that drops the header?"
        )
    if (size := store.head(keys[0]).size_bytes) != len(_BODY):
        raise StoreUnfit(
            f"{store.url} says that an object of {len(_BODY)} bytes has {size}; it must tell sizes as they are"
        )


def _check_listing(store: ObjectStore, keys: list[str]) -> None:
    folder = keys[0].rpartition("/")[0]
    for after, expected in ((None, keys), (keys[1], keys[2:])):
        found = [info.key for info in store.list_keys(f"{folder}/", after=after)]
        if found != expected:
            beyond = f" beyond {after}" if after else ""
            raise StoreUnfit(
                f"{store.url} lists new keys{beyond} as {found} instead of {expected}; it must list in byte "
                "order and at once: AWS's directory buckets (S3 Express) and caching gateways do not"
            )


def _check_overwriting(store: ObjectStore, keys: list[str]) -> None:
    store.put(keys[1], _OTHER)
    if (found := store.get(keys[1])) != _OTHER:
        raise StoreUnfit(
            f"{store.url} answers with {len(found)} old bytes after an object was replaced; reads must see the last "
            "write: is there a cache in between?"
        )


def _check_deleting(store: ObjectStore, keys: list[str]) -> None:
    store.delete(keys)
    folder = keys[0].rpartition("/")[0]
    left: list[str] = []
    with suppress(Denied):  # which the step before has told
        left = [info.key for info in store.list_keys(f"{folder}/")]
    if left:
        raise StoreUnfit(f"{store.url} still lists {left} after they were deleted; it must forget at once")
