"""`format.json`: which storage format a root is in. Written once, by whoever uses the root first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_pachy.errors import Corrupt, ObjectExists, ObjectNotFound, StoreUnfit

if TYPE_CHECKING:
    from airflow_pachy.pfs.objects.store import ObjectStore

KEY = "format.json"
VERSION = 1
HASH = "blake3"


def ensure_format(store: ObjectStore) -> None:
    """Check that the root is in a format this code knows, or make it so in an empty one after probing the store.

    Raises `StoreDenied`, `StoreUnavailable`, `StoreUnfit` (also for a format of a later version) or `Corrupt`.
    """
    try:
        body = store.get(KEY)
    except ObjectNotFound:
        from airflow_pachy.pfs.objects.probing import probe  # done once in the life of a root

        probe(store)
        body = json.dumps({"format": VERSION, "hash": HASH}).encode()
        try:
            store.put(KEY, body, if_absent=True)
        except ObjectExists:
            body = store.get(KEY)
    _check(store, body)


def _check(store: ObjectStore, body: bytes) -> None:
    try:
        document = json.loads(body)
        version, hash_name = document["format"], document["hash"]
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(
            f"{KEY} in {store.url} is not what airflow_pachy writes; is this the right bucket and prefix?"
        ) from error
    if version != VERSION or hash_name != HASH:
        raise StoreUnfit(
            f"{store.url} is in storage format {version} with hash {hash_name!r}, but this version of "
            f"airflow-provider-pachy reads format {VERSION} with {HASH!r}. Install the version that made it"
        )
