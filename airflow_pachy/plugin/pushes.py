"""What a git server's webhook says: whether it may say it, and what was pushed where. No Airflow in here."""

from __future__ import annotations

import hmac
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pipelines.inputs.git import is_signed, repository_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_BODY_BYTES = 5 << 20
"""Far beyond a push of two thousand commits, more of which no server lists; what anybody may make us hold."""

_SIGNATURES = ("x-hub-signature-256", "x-gitea-signature", "x-gogs-signature", "x-hub-signature")
_EVENTS = ("x-github-event", "x-gitea-event", "x-gitlab-event", "x-event-key")
_PUSHES = frozenset({"push", "push hook", "repo:push", "repo:refs_changed", ""})
_PLACES = ("clone_url", "html_url", "ssh_url", "git_http_url", "git_ssh_url", "http_url", "web_url", "url")
_BRANCH = "refs/heads/"


def is_authentic(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Whether the sender knows the secret: by an HMAC of the body (GitHub, Gitea, Bitbucket), or a token (GitLab).

    Others may send the secret as `Authorization: Bearer`. `headers` have names in lower case.
    """
    for name in _SIGNATURES:
        if given := headers.get(name):
            return is_signed(body, secret, given if "=" in given else f"sha256={given}")
    token = headers.get("x-gitlab-token") or headers.get("authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(token.encode(), secret.encode())


@dataclass(frozen=True, slots=True)
class Push:
    """A branch that has moved. `addresses` are the ways in which its repository is known, without scheme and user."""

    addresses: frozenset[str]
    branch: str
    revision: str


def read_push(headers: Mapping[str, str], body: bytes) -> Push | str:
    """The push that a payload announces, or why it announces none (a ping, a tag, a deleted branch).

    Reads payloads of GitHub, GitLab and Gitea, and of anything else `{"url": ..., "branch": ...}`. Raises
    `InvalidArgument` for what is no payload.
    """
    event = next((headers[name].lower() for name in _EVENTS if name in headers), "")
    if event not in _PUSHES:
        return f"it is a {event} event"
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"the body is not JSON ({error}); choose application/json as the content type") from error
    if not isinstance(payload, dict):
        raise InvalidArgument("the body is not a JSON object, as push payloads are")
    return _plain_push(payload) if "ref" not in payload and "branch" in payload else _server_push(payload)


def _plain_push(payload: Mapping[str, Any]) -> Push:
    url, branch, revision = payload.get("url"), payload.get("branch"), payload.get("revision") or ""
    if not all(isinstance(one, str) for one in (url, branch, revision)) or not url or not branch:
        raise InvalidArgument('the payload lacks its "url" or "branch"')
    return Push(frozenset({repository_address(str(url))}), str(branch), str(revision))


def _server_push(payload: Mapping[str, Any]) -> Push | str:
    ref = payload.get("ref")
    if not isinstance(ref, str):
        raise InvalidArgument('the payload has neither "ref", as pushes of git servers have, nor "url" and "branch"')
    if not ref.startswith(_BRANCH):
        return f"{ref} is not a branch"
    revision = str(payload.get("after") or payload.get("checkout_sha") or "")
    if payload.get("deleted") or (revision and not revision.strip("0")):
        return f"{ref} was deleted"
    places = [place for name in ("repository", "project") if isinstance(place := payload.get(name), dict)]
    found = {str(place[name]) for place in places for name in _PLACES if place.get(name)}
    if not found:
        raise InvalidArgument("the payload does not say which repository was pushed to")
    return Push(frozenset(map(repository_address, found)), ref.removeprefix(_BRANCH), revision)


@dataclass(slots=True)
class RateLimit:
    """So many requests at once, and so many in each minute after that."""

    per_minute: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    _left: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._left, self._at = self.burst, self.clock()

    def seconds_to_wait(self) -> float:
        """0 if this request may be answered, else when to come again."""
        now = self.clock()
        self._left = min(self.burst, self._left + (now - self._at) * self.per_minute / 60)
        self._at = now
        if self._left < 1:
            return (1 - self._left) * 60 / self.per_minute
        self._left -= 1
        return 0.0
