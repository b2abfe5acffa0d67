"""What an S3 client's errors mean to us, in words that tell where it happened and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from botocore.exceptions import ClientError, NoCredentialsError, ParamValidationError, PartialCredentialsError

from airflow_pachy.errors import (
    InvalidArgument,
    ObjectNotFound,
    PachyError,
    StoreDenied,
    StoreUnavailable,
    StoreUnfit,
)

_DENIED = {
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "TokenRefreshRequired",
    "AllAccessDisabled", "AccountProblem", "AuthorizationHeaderMalformed", "RequestTimeTooSkewed", "401", "403",
    "Unauthorized", "Forbidden",
}  # fmt: skip
_GONE = {"NoSuchKey", "404", "NotFound"}
_NO_S3 = {"405", "501"}
_RIGHTS = {"get": "s3:GetObject", "head": "s3:GetObject", "put": "s3:PutObject", "delete": "s3:DeleteObject"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request went; `str()` is how messages show it."""

    endpoint: str
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key} at {self.endpoint}"


def error_code(error: Exception) -> str:
    """The service's code of an error (`NoSuchKey`, `404`), or "" if the service did not answer."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def translate(error: Exception, verb: str, place: Place) -> PachyError:
    """The error of our own tree that says the same."""
    code = error_code(error)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return StoreDenied(
            f"no usable S3 credentials for {place} ({error}); set aws_access_key_id and aws_secret_access_key in the "
            "connection, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with a role that has access"
        )
    if code in _DENIED:
        right = _RIGHTS.get(verb, "s3:ListBucket")
        return StoreDenied(
            f"{verb} {place} was refused ({code}: {_words(error)}); check the access key, the secret and the clock, "
            f"and that this principal has {right} on the bucket {place.bucket}"
        )
    if code in _GONE and verb in {"get", "head"}:
        return ObjectNotFound(f"{place} does not exist")
    if (wrong := _wrong_place(error, code, verb, place)) is not None:
        return wrong
    if isinstance(error, ClientError):
        return StoreUnavailable(
            f"{verb} {place} failed ({code or 'no code'}: {_words(error)}) after retries; try again later"
        )
    return StoreUnavailable(
        f"{verb} {place} got no answer ({type(error).__name__}: {error}); check endpoint_url, the network and any proxy"
    )


def _wrong_place(error: Exception, code: str, verb: str, place: Place) -> PachyError | None:
    """What is wrong with the server itself or with the address, if anything is."""
    if isinstance(error, ParamValidationError):
        return InvalidArgument(f"{verb} {place} cannot be asked for ({_flat(error)}); correct the storage URL")
    if code == "NoSuchBucket":
        return StoreUnfit(
            f"the bucket {place.bucket} does not exist at {place.endpoint}; create it, or correct the storage URL"
        )
    if code in _GONE or code in _NO_S3:
        return StoreUnfit(
            f"{verb} {place} was answered with {code}, as S3 never does; is {place.endpoint} an S3 service, "
            "and this its port for S3, not that of its web pages? Correct endpoint_url"
        )
    if code == "NotImplemented":
        return StoreUnfit(
            f"{place.endpoint} does not offer what {verb} {place} needs ({_words(error)}); "
            "use a store with conditional writes (AWS S3, Ceph >= 18, MinIO, ...)"
        )
    return None


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())


def _words(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Message") or "no message") if isinstance(error, ClientError) else ""
