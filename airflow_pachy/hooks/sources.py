"""Credentials for `put_url` from an Airflow connection of any type: what it says, in the words of the source.

`airflow_pachy.pfs` knows nothing of Airflow; the operators and the command line call this and pass the options on.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.hooks.aws import read_extra, s3_settings
from airflow_pachy.hooks.settings import aws_connection_id, from_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.sdk import Connection


def source_options(connection: Connection, find: Callable[[str], Connection]) -> dict[str, Any]:
    """The `options` of `put_url` for URLs of the connection's kind. `find` looks up another connection by its id.

    Raises `InvalidArgument` for a type of connection that is no source.
    """
    readers: dict[str, Callable[[], dict[str, Any]]] = {
        "aws": lambda: s3_settings(connection),
        "s3": lambda: s3_settings(connection),
        "google_cloud_platform": lambda: _google(connection),
        "wasb": lambda: _azure(connection),
        "adls": lambda: _azure(connection),
        "http": lambda: _http(connection),
        "sftp": lambda: _sftp(connection),
        "ssh": lambda: _sftp(connection),
        "pachy": lambda: _pachy(connection, find),
    }
    if connection.conn_type not in readers:
        raise InvalidArgument(
            f"connection {connection.conn_id!r} is of type {connection.conn_type!r}, which says nothing about URLs; "
            f"types that do are {', '.join(readers)}"
        )
    return readers[connection.conn_type]()


_AZURE_HOSTS = ".core.windows.net"
# What Airflow's own hooks would do something about, and the file systems that read here cannot.
_NOT_FOR_US = ("impersonation_chain", "key_secret_name", "credential_config_file", "idp_issuer_url")


def _google(connection: Connection) -> dict[str, Any]:
    extra = _plain(read_extra(connection), "extra__google_cloud_platform__")
    # Going on without them would read as somebody else than the connection says.
    if unknown := next((name for name in _NOT_FOR_US if extra.get(name)), None):
        raise InvalidArgument(
            f"connection {connection.conn_id!r} has {unknown}, which put_url cannot use; give it keyfile_dict, "
            "key_path or is_anonymous, or neither for what Google's libraries find (GOOGLE_APPLICATION_CREDENTIALS)"
        )
    options: dict[str, Any] = {name: extra[name] for name in ("project", "endpoint_url") if extra.get(name)}
    if text := extra.get("keyfile_dict"):
        options["token"] = _parsed(connection, text) if isinstance(text, str) else text
    elif path := extra.get("key_path"):
        options["token"] = path
    elif extra.get("is_anonymous"):
        options["token"] = "anon"  # noqa: S105 - gcsfs's word for none
    return options


def _parsed(connection: Connection, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidArgument(f"connection {connection.conn_id!r}: its keyfile_dict is not JSON ({error})") from error


def _azure(connection: Connection) -> dict[str, Any]:
    extra = _plain(read_extra(connection), "extra__wasb__")
    if extra.get("connection_string"):
        return {"connection_string": extra["connection_string"]}
    host = str(connection.host or "")
    account = extra.get("account_name") or _azure_account(host) or connection.login
    options: dict[str, Any] = {"account_name": account}
    if extra.get("tenant_id"):
        options |= {
            "tenant_id": extra["tenant_id"],
            "client_id": connection.login,
            "client_secret": connection.password,
        }
    elif extra.get("sas_token"):
        options["sas_token"] = extra["sas_token"]
    elif key := extra.get("shared_access_key") or connection.password:
        if "://" in host and not host.rstrip("/").endswith(_AZURE_HOSTS):
            # An endpoint of one's own, which adlfs takes in this form only.
            name = connection.login or account
            return {"connection_string": f"AccountName={name};AccountKey={key};BlobEndpoint={host.rstrip('/')}"}
        options["account_key"] = key
    else:
        identity = ("managed_identity_client_id", "workload_identity_tenant_id")
        options |= {name: extra[name] for name in identity if extra.get(name)}
    return {name: value for name, value in options.items() if value}


def _azure_account(host: str) -> str:
    """The account that a host is of: `https://account.blob.core.windows.net`, or its name alone."""
    name = host.partition("://")[2] if "://" in host else host
    if "://" in host and not host.rstrip("/").endswith(_AZURE_HOSTS):
        return ""
    return name.partition(".")[0].strip("/")


def _http(connection: Connection) -> dict[str, Any]:
    headers = {str(name): str(value) for name, value in read_extra(connection).get("headers", {}).items()}
    if connection.login:
        login = f"{connection.login}:{connection.password or ''}"
        headers.setdefault("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    return {"headers": headers}


def _sftp(connection: Connection) -> dict[str, Any]:
    extra = read_extra(connection)
    known = {
        "username": connection.login,
        "password": connection.password,
        "port": connection.port,
        "key_filename": extra.get("key_file"),
    }
    return {name: value for name, value in known.items() if value}


def _pachy(connection: Connection, find: Callable[[str], Connection]) -> dict[str, Any]:
    aws_id = aws_connection_id(connection)
    settings = from_connection(connection, find(aws_id) if aws_id else None)
    if not settings.storage or not settings.metadata:
        raise InvalidArgument(
            f"connection {connection.conn_id!r} does not say where both files and metadata of the other root are; "
            "fill in its storage and metadata"
        )
    options = {"storage": settings.storage, "metadata": settings.metadata, "s3": settings.s3}
    return {**options, **({"principal": settings.principal} if settings.principal else {})}


def _plain(extra: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Names without the prefix that older Airflow versions gave them."""
    return {name.removeprefix(prefix): value for name, value in extra.items()}
