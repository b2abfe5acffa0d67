"""What an Airflow connection of type `aws` says about S3, in our own settings.

Read here rather than by the amazon provider, which need not be installed and whose credentials of an assumed role
would end in the middle of a long task: ours are renewed. Only for ways of signing in that we do not know (SAML,
Google) is the provider asked.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs.objects.s3_settings import checked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Connection

_PLAIN = (
    "region_name", "endpoint_url", "verify", "aws_session_token", "profile_name", "role_arn", "external_id",
    "addressing_style",
)  # fmt: skip
# Settings of ours by where the amazon provider keeps them.
_NESTED = {
    ("session_kwargs", "profile_name"): "profile_name",
    ("session_kwargs", "region_name"): "region_name",
    ("assume_role_kwargs", "ExternalId"): "external_id",
    ("assume_role_kwargs", "RoleSessionName"): "role_session_name",
    ("assume_role_kwargs", "DurationSeconds"): "role_duration_seconds",
    ("config_kwargs", "connect_timeout"): "connect_timeout",
    ("config_kwargs", "read_timeout"): "read_timeout",
    ("config_kwargs", "s3", "addressing_style"): "addressing_style",
    ("config_kwargs", "retries", "total_max_attempts"): "max_attempts",
    ("service_config", "s3", "endpoint_url"): "endpoint_url",
    ("service_config", "sts", "endpoint_url"): "sts_endpoint_url",
}


def s3_settings(aws: Connection) -> dict[str, Any]:
    """Credentials, role, endpoint and the like. Raises `InvalidArgument` naming connection and field."""
    extra = read_extra(aws)
    found: dict[str, Any] = credentials(aws) | {name: extra[name] for name in _PLAIN if extra.get(name)}
    if extra.get("verify") is False:
        found["verify"] = False
    for path, name in _NESTED.items():
        if (value := _at(extra, path)) not in (None, ""):
            found[name] = value
    method = extra.get("assume_role_method") or "assume_role"
    if found.get("role_arn") and method != "assume_role":
        federation = extra.get("assume_role_with_web_identity_federation")
        token_file = extra.get("assume_role_with_web_identity_token_file")
        if method == "assume_role_with_web_identity" and federation in (None, "file") and token_file:
            found["web_identity_token_file"] = token_file
        else:
            found |= _from_provider(aws.conn_id, f"{method} {federation or ''}".strip())
            found = {name: value for name, value in found.items() if name not in _ROLE}
    return checked(found, label=lambda name: f"connection {aws.conn_id!r}: {name}")


_ROLE = {"role_arn", "role_session_name", "role_duration_seconds", "external_id"}


def credentials(connection: Connection) -> dict[str, str]:
    """Key id and secret, from login and password or the extra. Raises `InvalidArgument` for half of them."""
    extra = read_extra(connection)
    key = connection.login or extra.get("aws_access_key_id")
    secret = connection.password or extra.get("aws_secret_access_key")
    if bool(key) != bool(secret):
        missing = "secret access key (password)" if key else "access key id (login)"
        raise InvalidArgument(
            f"connection {connection.conn_id!r} has half of an S3 credential: fill in its {missing} or leave both empty"
        )
    return {"aws_access_key_id": str(key), "aws_secret_access_key": str(secret)} if key and secret else {}


def read_extra(connection: Connection) -> Mapping[str, Any]:
    """The extra as a mapping; raises `InvalidArgument` if it is something else."""
    if not connection.extra:
        return {}
    try:
        extra = json.loads(connection.extra)
    except ValueError as error:
        raise InvalidArgument(f"connection {connection.conn_id!r}: its extra is not JSON ({error})") from error
    if not isinstance(extra, dict):
        raise InvalidArgument(f"connection {connection.conn_id!r}: its extra must be a JSON object")
    return extra


def _at(extra: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = extra
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _from_provider(conn_id: str, method: str) -> dict[str, str]:
    """Temporary credentials, as the amazon provider signs in."""
    try:
        # Optional, and so not there for the type checker.
        from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook  # type: ignore[import-not-found]
    except ImportError as error:
        raise InvalidArgument(
            f"connection {conn_id!r} signs in by {method}, which needs apache-airflow-providers-amazon here; install "
            "it, or use keys, a profile, a role, or a web identity token in a file"
        ) from error
    got = AwsBaseHook(aws_conn_id=conn_id, client_type="s3").get_credentials()
    found = {"aws_access_key_id": got.access_key, "aws_secret_access_key": got.secret_key}
    return found | ({"aws_session_token": got.token} if got.token else {})
