"""Objects in an S3 bucket, or in anything that speaks its protocol.

Requests are repeated by the client (`s3_client.py`); here is what it cannot repeat: a body that breaks off halfway, and
keys that a bulk delete left over. A create-only PUT that the client repeats after a lost answer finds its own object
there; each one carries a stamp, which is read back to tell this from a lost race.
"""

from __future__ import annotations

import random
import time
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from airflow_pachy.errors import ObjectExists, ObjectNotFound
from airflow_pachy.pfs.objects.keys import check_key
from airflow_pachy.pfs.objects.s3_body import Body, read_into
from airflow_pachy.pfs.objects.s3_client import make_client
from airflow_pachy.pfs.objects.s3_errors import TRANSIENT, Place, error_code, translate
from airflow_pachy.pfs.objects.s3_settings import S3Settings
from airflow_pachy.pfs.objects.store import ObjectInfo
from airflow_pachy.pfs.objects.ulid import new_ulid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

T = TypeVar("T")

DELETE_BATCH = 1000
BODY_TRIES = 4
_STAMP = "pachy-stamp"
CREATE_TRIES = 3
FIRST_PAUSE_SECONDS = 0.1
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_GONE = {"NoSuchKey", "404"}


class S3Store:
    """Objects below `prefix` in `bucket`.

    `settings` takes the names of `S3Settings`. With an `endpoint_url` addresses are path style unless
    `addressing_style` says otherwise. Raises `InvalidArgument` for settings that cannot be.
    """

    def __init__(self, bucket: str, prefix: str = "", settings: Mapping[str, Any] | None = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        chosen = S3Settings.of(settings or {})
        self._client = make_client(chosen, tables=True)
        self._tries = min(BODY_TRIES, chosen.max_attempts)
        payer: dict[str, Any] = {"RequestPayer": "requester"} if chosen.requester_pays else {}
        self._bucket_options: dict[str, Any] = {"Bucket": bucket, **payer}
        encryption = {"ServerSideEncryption": chosen.sse, "SSEKMSKeyId": chosen.sse_kms_key_id}
        self._put_options = self._bucket_options | {name: value for name, value in encryption.items() if value}
        self._endpoint = str(self._client.meta.endpoint_url)

    @property
    def url(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of an object, with one request; raises `ObjectNotFound`."""
        arguments: dict[str, Any] = {**self._bucket_options, "Key": self._full(key)}
        if offset or length is not None:
            if length == 0:
                return b""
            arguments["Range"] = f"bytes={offset}-{'' if length is None else offset + length - 1}"
        try:
            return self._call("get", key, lambda: self._download(arguments, _read))
        except _BeyondEndError:
            return b""

    def get_into(self, view: memoryview, key: str, offset: int) -> int:
        """As `get` of as many bytes as `view` has, into it; how many there were."""
        last = offset + len(view) - 1
        arguments: dict[str, Any] = {**self._bucket_options, "Key": self._full(key), "Range": f"bytes={offset}-{last}"}
        try:
            return self._call("get", key, lambda: self._download(arguments, lambda answer: read_into(view, answer)))
        except _BeyondEndError:
            return 0

    def put(self, key: str, body: bytes | bytearray | memoryview, *, if_absent: bool = False) -> None:
        """Write an object with one request, two if a create-only write finds the key taken."""
        arguments: dict[str, Any] = {**self._put_options, "Key": self._full(check_key(key))}
        if not if_absent:
            self._call("put", key, lambda: self._put(arguments, body))
            return
        stamp = new_ulid()
        arguments |= {"IfNoneMatch": "*", "Metadata": {_STAMP: stamp}}
        for left in reversed(range(CREATE_TRIES)):
            try:
                self._call("put", key, lambda: self._put(arguments, body))
            except _TakenError as taken:
                found = self._stamp(key)
                if found is None and left:
                    continue  # two writers stood in each other's way and neither wrote, or it is deleted since
                if found != stamp:
                    raise ObjectExists(f"{self.url}/{key} exists already; it was to be created") from taken
            return

    def head(self, key: str) -> ObjectInfo:
        """Size and time of an object; raises `ObjectNotFound`."""
        found = self._head(key)
        return ObjectInfo(key, found["ContentLength"], found["LastModified"])

    def list_keys(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Objects in key order, 1,000 per request."""
        arguments: dict[str, Any] = {**self._bucket_options, "Prefix": self._prefix + prefix}
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
        while batch := [self._full(key) for key in islice(left, DELETE_BATCH)]:
            for tries_left in reversed(range(self._tries)):
                failed = self._delete(batch)
                again = [one["Key"] for one in failed if one.get("Code") in TRANSIENT]
                if not failed:
                    break
                if not tries_left or len(again) < len(failed):
                    worst = next((one for one in failed if one.get("Code") not in TRANSIENT), failed[0])
                    key = str(worst.get("Key", "?")).removeprefix(self._prefix)
                    self._raise(ClientError({"Error": cast("Any", worst)}, "DeleteObjects"), "delete", key)
                batch = again
                time.sleep(random.uniform(0, FIRST_PAUSE_SECONDS * 2 ** (self._tries - tries_left)))  # noqa: S311 - jitter

    def close(self) -> None:
        """Close pooled connections."""
        self._client.close()

    def _put(self, arguments: Mapping[str, Any], body: bytes | bytearray | memoryview) -> None:
        self._client.put_object(**arguments, Body=cast("Any", Body(body)))  # a new one, which begins at its start

    def _delete(self, full_keys: list[str]) -> list[dict[str, Any]]:
        """Delete up to 1,000 objects; what is answered of those that could not be."""
        listed: Any = {"Objects": [{"Key": key} for key in full_keys], "Quiet": True}
        first = full_keys[0].removeprefix(self._prefix)
        answer: dict[str, Any] = self._call(
            "delete", first, lambda: dict(self._client.delete_objects(**self._bucket_options, Delete=listed))
        )
        return [one for one in answer.get("Errors", ()) if one.get("Code") not in _GONE]

    def _download(self, arguments: dict[str, Any], read: Callable[[Mapping[str, Any]], T]) -> T:
        # botocore retries requests, but not a body that breaks off halfway.
        left = self._tries
        while True:
            answer = self._client.get_object(**arguments)
            left -= 1
            try:
                return read(answer)
            except (IncompleteReadError, ResponseStreamingError, ReadTimeoutError):
                if not left:
                    raise

    def _head(self, key: str) -> dict[str, Any]:
        return self._call(
            "head", key, lambda: dict(self._client.head_object(**self._bucket_options, Key=self._full(check_key(key))))
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


def _read(answer: Mapping[str, Any]) -> bytes:
    body: bytes = answer["Body"].read()
    return body


class _BeyondEndError(Exception):
    """The range starts after the object's end."""


class _TakenError(Exception):
    """A create-only PUT met an object."""
