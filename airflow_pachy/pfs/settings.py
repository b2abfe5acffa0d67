"""Where the store and the database are when the caller does not say: the environment, else an embedded default.

PACHY_STORAGE       s3://bucket/prefix, file:///directory or memory://
PACHY_METADATA      a database URL
PACHY_PRINCIPAL     who is asking, as in user:ada
PACHY_S3_ENDPOINT, PACHY_S3_ACCESS_KEY_ID, PACHY_S3_SECRET_ACCESS_KEY, PACHY_S3_SESSION_TOKEN,
PACHY_S3_REGION, PACHY_S3_VERIFY, PACHY_S3_ADDRESSING_STYLE
                    what boto3 does not find by itself (it reads AWS_* and its own files)
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_S3_VARIABLES = {
    "PACHY_S3_ENDPOINT": "endpoint_url",
    "PACHY_S3_ACCESS_KEY_ID": "aws_access_key_id",
    "PACHY_S3_SECRET_ACCESS_KEY": "aws_secret_access_key",
    "PACHY_S3_SESSION_TOKEN": "aws_session_token",
    "PACHY_S3_REGION": "region_name",
    "PACHY_S3_VERIFY": "verify",
    "PACHY_S3_ADDRESSING_STYLE": "addressing_style",
}
_FALSE = {"0", "false", "no", "off"}
_TRUE = {"1", "true", "yes", "on"}


@dataclass(frozen=True, slots=True)
class PfsSettings:
    """What `Pfs.open` needs to know."""

    storage: str
    metadata: str
    s3: Mapping[str, Any]
    principal: str | None


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
        s3={**s3_from(environment), **(s3 or {})},
        principal=principal or environment.get("PACHY_PRINCIPAL") or None,
    )


def embedded_home(environment: Mapping[str, str]) -> Path:
    """The directory of the embedded default."""
    home = environment.get("AIRFLOW_HOME")
    return (Path(home) if home else Path("~/airflow").expanduser()).absolute() / "pachy"


def s3_from(environment: Mapping[str, str]) -> dict[str, Any]:
    """S3 settings named in the environment."""
    found: dict[str, Any] = {}
    for variable, name in _S3_VARIABLES.items():
        value = environment.get(variable)
        if value:
            found[name] = _truth(value) if name == "verify" else value
    return found


def process_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ


def _truth(value: str) -> bool | str:
    """`verify` is a switch or the path of a CA bundle."""
    lowered = value.lower()
    return False if lowered in _FALSE else True if lowered in _TRUE else value
