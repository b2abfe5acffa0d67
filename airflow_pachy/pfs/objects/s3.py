"""Objects in an S3 bucket, or in anything that speaks its protocol.

The client is configured lean: no payload signing and no extra checksums where the protocol lets us (packs are
verified by their content hashes anyway, and nodes by their ids), a pool as large as our threads, botocore's own
retries with backoff, which begin in earnest once the server has answered (`_FirstContact`). A create-only PUT that
botocore repeats after a lost answer finds its own object there; each one carries a stamp, which is read back to tell
this from a lost race.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.exceptions import ConnectionError as NotConnectedError

from airflow_pachy.errors import InvalidArgument, ObjectExists, ObjectNotFound
from airflow_pachy.pfs.objects.keys import check_key
from airflow_pachy.pfs.objects.s3_errors import Place, error_code, translate
from airflow_pachy.pfs.objects.s3_session import lean_session
from airflow_pachy.pfs.objects.store import ObjectInfo
from airflow_pachy.pfs.objects.ulid import new_ulid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any

T = TypeVar("T")

CONNECTIONS = 32
DELETE_BATCH = 1000
BODY_RETRIES = 3
_STAMP = "pachy-stamp"
FIRST_TRIES = 2
CONNECT_SECONDS = 4
_SILENCE = (NotConnectedError, HTTPClientError)
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_CLIENT_KEYS = (
    "endpoint_url", "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region_name", "verify",
)  # fmt: skip


class S3Store:
    """Objects below `prefix` in `bucket`.

    `settings` takes the keys that `open_store` documents; what is absent comes from boto3's own chain (environment,
    profile, instance role). With an `endpoint_url` addresses are path style unless `addressing_style` says otherwise.
    """

    def __init__(self, bucket: str, prefix: str = "", settings: Mapping[str, Any] | None = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client = _client(settings or {})
        self._endpoint = str(self._client.meta.endpoint_url)

    @property
    def url(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of an object, with one request; raises `ObjectNotFound`."""
        arguments: dict[str, Any] = {"Bucket": self._bucket, "Key": self._full(key)}
        if offset or length is not None:
            if length == 0:
                return b""
            arguments["Range"] = f"bytes={offset}-{'' if length is None else offset + length - 1}"
        try:
            return self._call("get", key, lambda: self._download(arguments))
        except _BeyondEndError:
            return b""

    def put(self, key: str, body: bytes | bytearray | memoryview, *, if_absent: bool = False) -> None:
        """Write an object with one request, two if a create-only write finds the key taken."""
        arguments: dict[str, Any] = {
            "Bucket": self._bucket,
            "Key": self._full(check_key(key)),
            "Body": bytes(body) if isinstance(body, memoryview) else body,
        }
        if not if_absent:
            self._call("put", key, lambda: self._client.put_object(**arguments))
            return
        stamp = new_ulid()
        arguments |= {"IfNoneMatch": "*", "Metadata": {_STAMP: stamp}}
        try:
            self._call("put", key, lambda: self._client.put_object(**arguments))
        except _TakenError as taken:
            if self._stamp(key) != stamp:
                raise ObjectExists(f"{self.url}/{key} exists already; it was to be created") from taken

    def head(self, key: str) -> ObjectInfo:
        """Size and time of an object; raises `ObjectNotFound`."""
        found = self._head(key)
        return ObjectInfo(key, found["ContentLength"], found["LastModified"])

    def list_keys(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Objects in key order, 1,000 per request."""
        arguments: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        if after is not None:
            arguments["StartAfter"] = self._prefix + after
        while True:
            page: dict[str, Any] = self._call("list", prefix, lambda: dict(self._client.list_objects_v2(**arguments)))
            for item in page.get("Contents", ()):
                yield ObjectInfo(item["Key"][len(self._prefix) :], item["Size"], item["LastModified"])
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, 1,000 per request."""
        left = iter(keys)
        while batch := list(islice(left, DELETE_BATCH)):
            # The call is over before the next batch, so the closure sees the one it was made for.
            listed: Any = {"Objects": [{"Key": self._full(key)} for key in batch], "Quiet": True}
            answer: dict[str, Any] = self._call(
                "delete",
                batch[0],
                lambda: dict(self._client.delete_objects(Bucket=self._bucket, Delete=listed)),  # noqa: B023
            )
            for failed in answer.get("Errors", ()):
                if failed.get("Code") not in {"NoSuchKey", "404"}:
                    self._raise(ClientError({"Error": failed}, "DeleteObjects"), "delete", failed.get("Key", "?"))

    def close(self) -> None:
        """Close pooled connections."""
        self._client.close()

    def _download(self, arguments: dict[str, Any]) -> bytes:
        # botocore retries requests, but not a body that breaks off halfway.
        for _ in range(BODY_RETRIES):
            try:
                return self._read(arguments)
            except (IncompleteReadError, ResponseStreamingError, ReadTimeoutError):
                continue
        return self._read(arguments)

    def _read(self, arguments: dict[str, Any]) -> bytes:
        body: bytes = self._client.get_object(**arguments)["Body"].read()
        return body

    def _head(self, key: str) -> dict[str, Any]:
        return self._call(
            "head", key, lambda: dict(self._client.head_object(Bucket=self._bucket, Key=self._full(check_key(key))))
        )

    def _stamp(self, key: str) -> str | None:
        try:
            stamp: str | None = self._head(key).get("Metadata", {}).get(_STAMP)
        except ObjectNotFound:
            return None  # taken when we asked, deleted since: still not ours
        return stamp

    def _full(self, key: str) -> str:
        return self._prefix + key

    def _call(self, verb: str, key: str, request: Callable[[], T]) -> T:
        try:
            return request()
        except (ClientError, BotoCoreError, OSError) as error:
            self._raise(error, verb, key)

    def _raise(self, error: Exception, verb: str, key: str) -> NoReturn:
        code = error_code(error)
        if code in {"InvalidRange", "416"}:
            raise _BeyondEndError from error
        if verb == "put" and code in _TAKEN:
            raise _TakenError from error
        raise translate(error, verb, Place(self._endpoint, self._bucket, self._full(key))) from error


class _FirstContact:
    """Gives up early on a server that has never answered: its address is wrong, or it is down, and the user waits.

    Whatever status an answer has, it shows that the server is there; from then on faults are taken for transient.
    """

    def __init__(self) -> None:
        self._answered = False

    def watch(self, client: S3Client) -> None:
        # Before botocore's own handler, which would decide to wait and try again.
        client.meta.events.register_first("needs-retry.s3", self._give_up)

    def _give_up(self, caught_exception: Exception | None, attempts: int, **_: Any) -> None:
        if caught_exception is None:
            self._answered = True
            return
        patience = 1 if isinstance(caught_exception, ReadTimeoutError) else FIRST_TRIES
        if not self._answered and isinstance(caught_exception, _SILENCE) and attempts >= patience:
            raise caught_exception


class _BeyondEndError(Exception):
    """The range starts after the object's end."""


class _TakenError(Exception):
    """A create-only PUT met an object."""


def _client(settings: Mapping[str, Any]) -> S3Client:
    given = {key: settings[key] for key in _CLIENT_KEYS if settings.get(key) is not None}
    style = settings.get("addressing_style") or ("path" if given.get("endpoint_url") else "auto")
    options: dict[str, Any] = {
        "s3": {"addressing_style": style, "payload_signing_enabled": False},
        "retries": {"mode": "standard", "max_attempts": 6},
        "max_pool_connections": CONNECTIONS,
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": 60,
        "tcp_keepalive": True,
        "user_agent_extra": "airflow-pachy",
    }
    checksums: dict[str, Any] = {
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    try:
        config = Config(**options, **checksums)
    except TypeError:
        config = Config(**options)  # botocore before 1.36, which adds no checksums of its own
    session = lean_session(endpoint_is_given=bool(given.get("endpoint_url")))
    try:
        client = cast("S3Client", session.create_client("s3", config=config, **given))
    except ValueError as error:
        raise InvalidArgument(
            f"cannot use S3 with endpoint_url {given.get('endpoint_url')!r} and region_name "
            f"{given.get('region_name')!r}: {error}; an endpoint is written http://host:port or https://host"
        ) from error
    _FirstContact().watch(client)
    return client
