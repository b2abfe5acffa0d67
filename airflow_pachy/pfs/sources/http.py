"""`http://` and `https://`: streamed, with retries, and going on where a broken transfer ended if the server can.

Options: `headers`, `timeout_seconds` (without any byte), `max_seconds` (in all), `max_bytes`, `tries`, `verify`
(False, or the path of a CA bundle).
"""

from __future__ import annotations

import base64
import http.client
import io
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from airflow_pachy.errors import Denied, InvalidArgument, PachyError, PathNotFound, Unavailable
from airflow_pachy.pfs.sources.requests import Request, put_one, shown_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 60.0
_QUOTED_ALREADY = "%/:?#[]@!$&'()*+,;=-._~|"
_SECRETS = {"authorization", "cookie", "proxy-authorization"}


def put(request: Request) -> None:
    """Put what the URL answers."""
    if request.recursive:
        raise InvalidArgument(
            f"{request.shown} cannot be put recursively: http has no listing; put its files one by one"
        )
    known = ("headers", "timeout_seconds", "max_seconds", "max_bytes", "tries", "verify")
    with Download(request.url, Limits(**request.take(*known))) as stream:
        put_one(request, cast("BinaryIO", io.BufferedReader(stream, buffer_size=1 << 20)))


def wait(seconds: float) -> None:
    """Between two tries."""
    time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to try, and how much to take."""

    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 60
    max_seconds: float | None = None
    max_bytes: int | None = None
    tries: int = 5
    verify: bool | str = True


class Download(io.RawIOBase):
    """The body of a URL. Raises `PathNotFound`, `Denied`, `Unavailable`, `InvalidArgument`, all naming the URL."""

    def __init__(self, url: str, limits: Limits) -> None:
        super().__init__()
        self._limits = limits
        self._shown = shown_url(url)
        self._url, self._headers = _without_login(url)
        self._headers |= dict(limits.headers)
        self._opener = _opener(limits.verify)
        self._deadline = None if limits.max_seconds is None else time.monotonic() + limits.max_seconds
        self._position = 0
        self._failures = 0
        self._response = self._request()
        self._total = _length(self._response)
        self._version = self._response.headers.get("ETag") or self._response.headers.get("Last-Modified")
        if limits.max_bytes is not None and (self._total or 0) > limits.max_bytes:
            self.close()
            raise self._too_large(f"has {self._total:,}")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, connecting again if the connection broke."""
        while True:
            self._check_time()
            try:
                data = self._response.read(len(buffer))
            except (OSError, http.client.HTTPException) as error:
                self._go_on(error)
                continue
            if not data and self._total is not None and self._position < self._total:
                self._go_on(f"it ended after {self._position:,} of {self._total:,} bytes")
                continue
            self._position += len(data)
            if data:
                self._failures = 0
            if self._limits.max_bytes is not None and self._position > self._limits.max_bytes:
                raise self._too_large(f"has more than {self._limits.max_bytes:,}")
            buffer[: len(data)] = data
            return len(data)

    def close(self) -> None:
        """Hang up."""
        response = self.__dict__.get("_response")
        if response is not None:
            response.close()
        super().close()

    def _go_on(self, why: object) -> None:
        """Ask for the rest. Raises `Unavailable` if the server cannot give it, or the file is another by now."""
        self._response.close()
        self._failures += 1
        if self._version is None or self._failures >= self._limits.tries:
            raise Unavailable(f"{self._shown} broke off at byte {self._position:,}: {why}; try again") from _cause(why)
        wait(_pause(self._failures))
        response = self._request()
        if self._position and (response.status != http.client.PARTIAL_CONTENT or _start(response) != self._position):
            response.close()
            raise Unavailable(
                f"{self._shown} broke off at byte {self._position:,} ({why}), and the server cannot go on from there "
                "or has another file now; try again"
            ) from _cause(why)
        self._response = response

    def _request(self) -> http.client.HTTPResponse:
        headers = {"User-Agent": "airflow-provider-pachy", "Accept-Encoding": "identity", **self._headers}
        if self._position:
            headers |= {"Range": f"bytes={self._position}-", "If-Range": str(self._version)}
        for attempt in range(1, self._limits.tries + 1):
            self._check_time()
            request = urllib.request.Request(self._url, headers=headers)  # noqa: S310 - http and https alone come here
            try:
                answer = self._opener.open(request, timeout=self._limits.timeout_seconds)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code not in _AGAIN or attempt == self._limits.tries:
                    raise self._refused(error) from error
                wait(_asked_pause(error.headers) or _pause(attempt))
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                if isinstance(reason, ssl.SSLCertVerificationError) or attempt == self._limits.tries:
                    raise Unavailable(
                        f"{self._shown} did not answer ({reason}); check the address, the network and any proxy"
                    ) from error
                wait(_pause(attempt))
            else:
                return cast("http.client.HTTPResponse", answer)
        raise InvalidArgument(f"tries must be 1 or more, not {self._limits.tries}")

    def _refused(self, error: urllib.error.HTTPError) -> PachyError:
        if error.code in {404, 410}:
            return PathNotFound(f"{self._shown} does not exist (HTTP {error.code})")
        if error.code in {401, 403, 407}:
            return Denied(
                f"{self._shown} refused us (HTTP {error.code} {error.reason}); give credentials with a connection or "
                "headers"
            )
        return Unavailable(f"{self._shown} answered HTTP {error.code} {error.reason}")

    def _check_time(self) -> None:
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise Unavailable(
                f"{self._shown} took longer than {self._limits.max_seconds:g} seconds, at byte {self._position:,}; "
                "allow more with max_seconds"
            )

    def _too_large(self, what: str) -> InvalidArgument:
        return InvalidArgument(f"{self._shown} {what} bytes, over the limit; allow more with max_bytes")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects (urllib refuses those to files); credentials are for the host they were given for."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:  # noqa: PLR0917 - the signature is urllib's
        """The request to follow with."""
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            following.headers = {
                name: value for name, value in following.headers.items() if name.lower() not in _SECRETS
            }
        return following


def _opener(verify: bool | str) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return urllib.request.build_opener(_Redirects(), urllib.request.HTTPSHandler(context=context))


def _without_login(url: str) -> tuple[str, dict[str, str]]:
    """The URL without user and password, and the header that says the same."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    if not host:
        raise InvalidArgument(f"{url!r} names no host; write {parts.scheme}://host/path")
    # People write addresses as browsers show them.
    path, query = (quote(part, safe=_QUOTED_ALREADY) for part in (parts.path, parts.query))
    bare = urlunsplit((parts.scheme, host, path, query, ""))
    if not at:
        return bare, {}
    return bare, {"Authorization": f"Basic {base64.b64encode(unquote(login).encode()).decode()}"}


def _length(response: http.client.HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length")
    return int(text) if text is not None and text.isdigit() else None


def _start(response: http.client.HTTPResponse) -> int | None:
    """Where a partial answer begins: `Content-Range: bytes 5-9/10`."""
    text = str(response.headers.get("Content-Range", "")).removeprefix("bytes ").partition("-")[0]
    return int(text) if text.isdigit() else None


def _pause(failures: int) -> float:
    return min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0 ** (failures - 1))


def _asked_pause(headers: Message) -> float | None:
    """What the server asks for in `Retry-After`, when it is a number of seconds."""
    text = str(headers.get("Retry-After", ""))
    return min(_LONGEST_WAIT_SECONDS, float(text)) if text.isdigit() else None


def _cause(why: object) -> BaseException | None:
    return why if isinstance(why, BaseException) else None
