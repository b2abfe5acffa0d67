"""A botocore S3 client as the settings say: whose credentials, how long to wait, how often to try.

The client is lean: no payload signing and no extra checksums where the protocol lets us (packs are verified by
their content hashes anyway, and nodes by their ids), a pool as large as our threads. Retries are botocore's own, with
backoff, for throttling, server errors and broken connections; they begin in earnest once the server has answered.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - else the first connection imports it, while somebody waits
import platform
from typing import TYPE_CHECKING, Any, cast

import botocore
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    AssumeRoleWithWebIdentityCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    Credentials,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import ConnectionError as NotConnectedError
from botocore.exceptions import HTTPClientError, ProfileNotFound, ReadTimeoutError
from botocore.session import Session
from botocore.utils import FileWebIdentityTokenLoader

from airflow_pachy import __version__
from airflow_pachy.errors import InvalidArgument, StoreDenied
from airflow_pachy.pfs.objects.s3_session import lean_session

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from airflow_pachy.pfs.objects.s3_settings import S3Settings
else:
    S3Client = Any

CONNECTIONS = 32
FIRST_TRIES = 2
SESSION_NAME = "airflow-pachy"
# As it is: botocore's own is put together from some twenty parts for each request, twice, a tenth of what a GET takes.
_NAME = f"airflow-pachy/{__version__} Botocore/{botocore.__version__} Python/{platform.python_version()}"
_SILENCE = (NotConnectedError, HTTPClientError)


def make_client(settings: S3Settings, *, tables: bool = False) -> S3Client:
    """A client that requests nothing yet. Raises `InvalidArgument` for an endpoint or profile that cannot be.

    With `tables` it is made sooner, and can do no more than what an object store needs: see `s3_tables.OPERATIONS`.
    """
    session = lean_session(endpoint_is_given=settings.endpoint_url is not None, tables=tables)
    if settings.profile_name:
        session.set_config_variable("profile", settings.profile_name)
    if settings.role_arn:
        session.register_component("credential_provider", CredentialResolver([_AssumedRole(settings)]))
    given: dict[str, Any] = {
        "endpoint_url": settings.endpoint_url,
        "region_name": settings.region_name,
        "verify": settings.verify,
    }
    given |= {} if settings.role_arn else settings.keys
    try:
        client = cast("S3Client", session.create_client("s3", config=_config(settings), **given))
    except ProfileNotFound as error:
        raise InvalidArgument(
            f"the AWS profile {settings.profile_name!r} is not in the AWS configuration files of this machine "
            f"({error}); correct profile_name, or give keys or a role instead"
        ) from error
    except ValueError as error:
        raise InvalidArgument(
            f"cannot use S3 with endpoint_url {settings.endpoint_url!r} and region_name "
            f"{settings.region_name!r}: {error}; an endpoint is written http://host:port or https://host"
        ) from error
    FirstContact().watch(client)
    return client


def _config(settings: S3Settings) -> Config:
    style = settings.addressing_style or ("path" if settings.endpoint_url else "auto")
    options: dict[str, Any] = {
        "s3": {"addressing_style": style, "payload_signing_enabled": False},
        "retries": {"mode": settings.retry_mode, "total_max_attempts": settings.max_attempts},
        "max_pool_connections": CONNECTIONS,
        "connect_timeout": settings.connect_timeout,
        "read_timeout": settings.read_timeout,
        "tcp_keepalive": True,
        "user_agent": _NAME,
    }
    checksums: dict[str, Any] = {
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    try:
        return Config(**options, **checksums)
    except TypeError:
        return Config(**options)  # botocore before 1.36, which adds no checksums of its own


class _AssumedRole(CredentialProvider):
    """Credentials of a role, asked for when first needed and renewed before they expire."""

    METHOD = "assume-role"
    CANONICAL_NAME = "AssumeRole"

    def __init__(self, settings: S3Settings) -> None:
        super().__init__()
        self._settings = settings

    def load(self) -> DeferredRefreshableCredentials:
        """As botocore asks for them."""
        settings, role = self._settings, self._settings.role_arn or ""
        # With the regions of all services, unlike the session of the S3 client: this is another service.
        session = Session(profile=settings.profile_name)
        arguments: dict[str, Any] = {"RoleSessionName": settings.role_session_name or SESSION_NAME}
        if settings.role_duration_seconds:
            arguments["DurationSeconds"] = settings.role_duration_seconds

        def create_client(service: str, **options: Any) -> Any:
            config = Config(connect_timeout=settings.connect_timeout, read_timeout=settings.read_timeout).merge(
                options.pop("config", None) or Config()
            )
            return session.create_client(
                service,
                endpoint_url=settings.sts_endpoint_url,
                region_name=settings.region_name,
                verify=settings.verify,
                config=config,
                **options,
            )

        if settings.web_identity_token_file:
            fetcher: Any = AssumeRoleWithWebIdentityCredentialFetcher(
                create_client,
                FileWebIdentityTokenLoader(settings.web_identity_token_file),
                role,
                extra_args=arguments,
            )
        else:
            if settings.external_id:
                arguments["ExternalId"] = settings.external_id
            own = _own_credentials(session, settings)
            fetcher = AssumeRoleCredentialFetcher(create_client, own, role, extra_args=arguments)
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)


def _own_credentials(session: Session, settings: S3Settings) -> Any:
    """With which the role is assumed: those given, else what botocore finds."""
    if settings.aws_access_key_id:
        secret = settings.aws_secret_access_key or ""
        return Credentials(settings.aws_access_key_id, secret, settings.aws_session_token)
    found = session.get_credentials()
    if found is None:
        raise StoreDenied(
            f"no AWS credentials to assume {settings.role_arn} with; set aws_access_key_id and aws_secret_access_key, "
            "or run where AWS's tools find some (environment, profile, instance or pod role)"
        )
    return found


class FirstContact:
    """Gives up early on a server that has never answered: its address is wrong, or it is down, and the user waits.

    Whatever status an answer has, it shows that the server is there; from then on faults are taken for transient.
    """

    def __init__(self) -> None:
        self._answered = False

    def watch(self, client: S3Client) -> None:
        """Look at every answer of the client."""
        # Before botocore's own handler, which would decide to wait and try again.
        client.meta.events.register_first("needs-retry.s3", self.give_up)

    def give_up(self, caught_exception: Exception | None, attempts: int, **_: Any) -> None:
        """Raise the exception once patience is at its end."""
        if caught_exception is None:
            self._answered = True
            return
        patience = 1 if isinstance(caught_exception, ReadTimeoutError) else FIRST_TRIES
        if not self._answered and isinstance(caught_exception, _SILENCE) and attempts >= patience:
            raise caught_exception
