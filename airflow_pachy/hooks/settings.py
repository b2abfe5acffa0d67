"""What a `pachy` connection says, as one value.

Kept apart from the hook so that reading a connection can be tested, and reused in triggers, without opening
anything. A field that the connection leaves empty is None here: `Pfs.open` then goes on to the `PACHY_*`
environment and to the embedded default under `$AIRFLOW_HOME/pachy`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.hooks.aws import credentials, read_extra, s3_settings
from airflow_pachy.hooks.principals import check_template
from airflow_pachy.pfs.objects.s3_settings import NAMES, checked, merged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Connection

DEFAULT_CONNECTION = "pachy_default"
RUNNERS = ("auto", "kubernetes", "local")

_S3_FIELDS = NAMES - {"aws_access_key_id", "aws_secret_access_key"}


@dataclass(frozen=True, slots=True)
class PachySettings:
    """Where data and metadata are, and how pods get at them.

    `s3` holds the keyword arguments of `open_store`. `worker_endpoint_url` is where pods reach S3 when that is
    another address than ours. `worker_secret` names a Kubernetes Secret with `AWS_ACCESS_KEY_ID` and
    `AWS_SECRET_ACCESS_KEY`; without it pods rely on their service account.
    """

    storage: str | None = None
    metadata: str | None = None
    s3: Mapping[str, Any] = field(default_factory=dict, repr=False)
    principal: str | None = None
    runner: str = "auto"
    kubernetes_conn_id: str | None = None
    namespace: str | None = None
    helper_image: str | None = None
    worker_secret: str | None = None
    worker_endpoint_url: str | None = None
    service_account_name: str | None = None

    @property
    def effective_storage(self) -> str:
        """The storage URL that counts, "" for the embedded default."""
        return self.storage or os.environ.get("PACHY_STORAGE", "")

    @property
    def is_s3(self) -> bool:
        """Whether pods can reach the storage at all."""
        return self.effective_storage.startswith("s3://")


def from_connection(connection: Connection, aws: Connection | None = None) -> PachySettings:
    """Read a `pachy` connection; `aws` is the connection that its `aws_conn_id` names.

    Raises `InvalidArgument` naming the field that cannot be used.
    """
    extra = read_extra(connection)
    runner = str(extra.get("runner") or "auto")
    if runner not in RUNNERS:
        raise InvalidArgument(
            f"connection {connection.conn_id!r}: runner is {runner!r}; use one of {', '.join(RUNNERS)}"
        )
    texts = {name: _text(extra, name) for name in PachySettings.__dataclass_fields__ if name not in ("s3", "runner")}
    if texts["principal"]:
        check_template(connection.conn_id, texts["principal"])
    return PachySettings(s3=_s3(connection, extra, aws), runner=runner, **texts)


def aws_connection_id(connection: Connection) -> str | None:
    """The id of the `aws` connection that holds the credentials, if this one names one."""
    return _text(read_extra(connection), "aws_conn_id")


def _s3(connection: Connection, extra: Mapping[str, Any], aws: Connection | None) -> dict[str, Any]:
    """Our own fields win over those of the `aws` connection; a credential is taken from one place as a whole."""
    given = credentials(connection) | {name: extra[name] for name in _S3_FIELDS if extra.get(name) not in (None, "")}
    own = checked(given, label=lambda name: f"connection {connection.conn_id!r}: {name}")
    return merged(s3_settings(aws), own) if aws is not None else own


def _text(extra: Mapping[str, Any], name: str) -> str | None:
    value = extra.get(name)
    return str(value) if value not in (None, "") else None
