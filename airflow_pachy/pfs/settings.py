"""Where the store and the database are when the caller does not say: the environment, else an embedded default.

PACHY_STORAGE       s3://bucket/prefix, file:///directory or memory://
PACHY_METADATA      a database URL
PACHY_PRINCIPAL     who is asking, as in user:ada
PACHY_S3_ENDPOINT, PACHY_S3_ACCESS_KEY_ID, PACHY_S3_SECRET_ACCESS_KEY, PACHY_S3_REGION, PACHY_S3_VERIFY, ...
                    what botocore does not find by itself (it reads AWS_* and its own files); all of them
                    are in `airflow_pachy.pfs.objects.s3_settings.VARIABLES`
PACHY_CACHE         a directory for what is kept on this machine, else one in the user's cache
PACHY_CACHE_SIZE    how much of trees on S3 is kept there, as in 1Gi; 0 for nothing
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs.objects.s3_settings import from_environment as s3_from
from airflow_pachy.pfs.objects.s3_settings import merged
from airflow_pachy.user_cache import cache_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CACHE_BYTES", "PfsSettings", "embedded_home", "process_environment", "s3_from", "settings_from"]

CACHE_BYTES = 256 << 20
_CACHE_SIZE = "PACHY_CACHE_SIZE"


@dataclass(frozen=True, slots=True)
class PfsSettings:
    """What `Pfs.open` needs to know."""

    storage: str
    metadata: str
    s3: Mapping[str, Any]
    principal: str | None
    cache: Path | None = None
    cache_bytes: int = 0


def settings_from(
    environment: Mapping[str, str],
    *,
    storage: str | None = None,
    metadata: str | None = None,
    s3: Mapping[str, Any] | None = None,
    principal: str | None = None,
) -> PfsSettings:
    """Complete what the caller gave from the environment and the embedded default, which this makes a directory for.

    The embedded default keeps objects and an SQLite file under `$AIRFLOW_HOME/pachy` (`~/airflow/pachy`).
    """
    storage = storage or environment.get("PACHY_STORAGE")
    metadata = metadata or environment.get("PACHY_METADATA")
    if not storage or not metadata:
        home = embedded_home(environment)
        home.mkdir(parents=True, exist_ok=True)
        storage = storage or (home / "objects").as_uri()
        metadata = metadata or f"sqlite:///{home / 'pachy.db'}"
    return PfsSettings(
        storage=storage,
        metadata=metadata,
        s3=merged(s3_from(environment), s3 or {}),
        principal=principal or environment.get("PACHY_PRINCIPAL") or None,
        cache=cache_directory(environment),
        cache_bytes=_cache_bytes(environment),
    )


def _cache_bytes(environment: Mapping[str, str]) -> int:
    text = environment.get(_CACHE_SIZE)
    if not text:
        return CACHE_BYTES
    from airflow_pachy.pfs.sizes import parse_size

    try:
        return parse_size(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"{_CACHE_SIZE}: {error}; 0 keeps nothing") from error


def embedded_home(environment: Mapping[str, str]) -> Path:
    """The directory of the embedded default."""
    home = environment.get("AIRFLOW_HOME")
    return (Path(home) if home else Path("~/airflow").expanduser()).absolute() / "pachy"


def process_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ
