"""What an S3 client's errors mean to us, in words that tell where it happened and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from airflow_pachy.errors import (
    InvalidArgument,
    ObjectNotFound,
    PachyError,
    StoreDenied,
    StoreUnavailable,
    StoreUnfit,
)

# What a server says that asks for fewer requests; the client waits longer each time before it tries again.
THROTTLED = frozenset({
    "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestThrottled", "TooManyRequests",
    "ServiceUnavailable", "503", "429",
})  # fmt: skip
TRANSIENT = THROTTLED | {"InternalError", "RequestTimeout", "500", "502", "504", "ServiceFailure"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "InvalidToken"}
_DENIED = {
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled", "AccountProblem",
    "AuthorizationHeaderMalformed", "401", "403", "Unauthorized", "Forbidden", "InvalidClientTokenId",
}  # fmt: skip
_ELSEWHERE = {"PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException", "301", "307"}
_ENCRYPTION = {
    "InvalidEncryptionAlgorithmError", "ServerSideEncryptionConfigurationNotFoundError", "KMS.NotFoundException",
    "KMS.DisabledException", "KMS.InvalidKeyUsageException", "KMS.KMSInvalidStateException", "InvalidRequest",
    "InvalidArgument",
}  # fmt: skip
_GONE = {"NoSuchKey", "404", "NotFound"}
_NO_S3 = {"405", "501"}
_NO_TOKEN = (CredentialRetrievalError, MetadataRetrievalError, TokenRetrievalError, SSOError, UnauthorizedSSOTokenError)
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
    for meaning in (_no_credentials, _refusal, _wrong_place, _wrong_request):
        if (found := meaning(error, code, verb, place)) is not None:
            return found
    if code in THROTTLED:
        return StoreUnavailable(
            f"{verb} {place} was refused again and again because the store has too much to do ({code}: "
            f"{_words(error)}); try again later, run fewer tasks at a time, or set retry_mode to "
            "adaptive or max_attempts to more"
        )
    if isinstance(error, ClientError):
        return StoreUnavailable(
            f"{verb} {place} failed ({code or 'no code'}: {_words(error)}) after retries; try again later"
        )
    return _silence(error, verb, place)


def _no_credentials(error: Exception, code: str, verb: str, place: Place) -> PachyError | None:  # noqa: ARG001
    """Why there is nothing to sign requests with, if there is not."""
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return StoreDenied(
            f"no usable S3 credentials for {place} ({error}); set aws_access_key_id and aws_secret_access_key in the "
            "connection, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with a role that has access"
        )
    if isinstance(error, _NO_TOKEN):
        return StoreDenied(
            f"the credentials for {place} could not be fetched ({_flat(error)}); sign in again, or check the role, the "
            "token file or the metadata service that they come from"
        )
    if isinstance(error, ClientError) and error.operation_name.startswith("AssumeRole"):
        return StoreDenied(
            f"the role for {place} could not be assumed ({code}: {_words(error)}); check role_arn, external_id, that "
            "the role trusts these credentials, and sts_endpoint_url if the store is not Amazon's"
        )
    return None


def _refusal(error: Exception, code: str, verb: str, place: Place) -> PachyError | None:
    """What is wrong with the credentials, if anything is."""
    if code in _EXPIRED:
        return StoreDenied(
            f"the credentials for {place} have expired ({code}: {_words(error)}); put a new aws_session_token (with "
            "its key and secret) where they come from, sign in again, or use a role, which is renewed by itself"
        )
    if code == "RequestTimeTooSkewed":
        return StoreDenied(f"{verb} {place} was refused ({_words(error)}); set the clock of this machine right")
    if code in _DENIED:
        right = _RIGHTS.get(verb, "s3:ListBucket")
        kms = " and may use the KMS key" if "kms" in _words(error).lower() else ""
        return StoreDenied(
            f"{verb} {place} was refused ({code}: {_words(error)}); check the access key, the secret and the clock, "
            f"and that this principal has {right} on the bucket {place.bucket}{kms}"
        )
    return None


def _wrong_place(error: Exception, code: str, verb: str, place: Place) -> PachyError | None:
    """What is wrong with the server itself or with the address, if anything is."""
    if isinstance(error, ParamValidationError):
        return InvalidArgument(f"{verb} {place} cannot be asked for ({_flat(error)}); correct the storage URL")
    if code in _GONE and verb in {"get", "head"}:
        return ObjectNotFound(f"{place} does not exist")
    if code == "NoSuchBucket":
        return StoreUnfit(
            f"the bucket {place.bucket} does not exist at {place.endpoint}; create it, or correct the storage URL"
        )
    if code in _ELSEWHERE:
        return StoreUnfit(
            f"the bucket {place.bucket} is not at {place.endpoint} ({code}: {_words(error)}); correct region_name or "
            "endpoint_url"
        )
    if code in _GONE or code in _NO_S3:
        return StoreUnfit(
            f"{verb} {place} was answered with {code}, as S3 never does; is {place.endpoint} an S3 service, "
            "and this its port for S3, not that of its web pages? Correct endpoint_url"
        )
    return None


def _wrong_request(error: Exception, code: str, verb: str, place: Place) -> PachyError | None:
    """What the store does not do, or not in this way, if it said so."""
    if code == "NotImplemented":
        return StoreUnfit(
            f"{place.endpoint} does not offer what {verb} {place} needs ({_words(error)}); "
            "use a store with conditional writes (AWS S3, Ceph >= 18, MinIO, ...)"
        )
    if verb == "put" and code in _ENCRYPTION:
        return StoreUnfit(
            f"{place.endpoint} refuses {verb} {place} as it is asked for ({code}: {_words(error)}); if sse is set, the "
            "store may not offer this encryption, want https for it, or not know the key sse_kms_key_id"
        )
    return None


def _silence(error: Exception, verb: str, place: Place) -> PachyError:
    advice = "check endpoint_url, the network and any proxy"
    if isinstance(error, SSLError):
        advice = (
            "if its certificate is signed by an authority of your own, set verify to the path of a CA bundle that has "
            "it; also check that endpoint_url says https only where the server speaks it"
        )
    elif isinstance(error, ProxyConnectionError):
        advice = "check HTTPS_PROXY and HTTP_PROXY, or name the host in NO_PROXY to reach it directly"
    elif isinstance(error, ReadTimeoutError):
        advice = (
            "it took the request and then said nothing: check that it is an S3 service and not overloaded; "
            "read_timeout says how many seconds of silence are waited for"
        )
    return StoreUnavailable(f"{verb} {place} got no answer ({type(error).__name__}: {_flat(error)}); {advice}")


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())


def _words(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Message") or "no message") if isinstance(error, ClientError) else ""
