"""From a URL to a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_pachy.pfs.objects.store import ObjectStore


def open_store(url: str, *, s3: Mapping[str, Any] | None = None) -> ObjectStore:
    """The store at `s3://bucket/prefix`, `file:///dir` or `memory://[name]`.

    `s3` holds what `S3Settings` knows by name. Nothing is requested yet. Raises `InvalidArgument`.
    """
    scheme, rest = url.partition("://")[::2]
    if scheme == "s3" and (bucket := rest.partition("/")[0]):
        from airflow_pachy.pfs.objects.s3 import S3Store  # botocore takes long to import

        return S3Store(bucket, rest.partition("/")[2], s3)
    if scheme == "file" and rest.startswith("/"):
        from pathlib import Path
        from urllib.parse import unquote, urlsplit

        from airflow_pachy.pfs.objects.local import LocalStore

        return LocalStore(Path(unquote(urlsplit(url).path)))
    if scheme == "memory":
        from airflow_pachy.pfs.objects.memory import MemoryStore

        return MemoryStore.named(rest)
    raise InvalidArgument(
        f"{url!r} is not a storage URL; use s3://bucket/prefix, file:///absolute/dir or memory://name"
    )
