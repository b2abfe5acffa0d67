"""URLs of paths in DVC projects.

    dvc:///srv/projects/pets//data/images?rev=v1.0       a clone on this machine
    dvc+https://github.com/org/pets//data/images?rev=v2  a git repository; also dvc+http and dvc+ssh

A double slash ends the project and begins the path in it; without one the whole project is meant. `rev` is anything
that git knows as a revision (its head without it), `remote` a DVC remote of the project other than its default one.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from airflow_pachy.errors import InvalidArgument

SCHEMES = ("dvc", "dvc+https", "dvc+http", "dvc+ssh")
_FORM = "write dvc:///path/to/clone//path/in/project?rev=v1.0 or dvc+https://host/org/project//path?rev=v1.0"


@dataclass(frozen=True, slots=True)
class Place:
    """A path in a project. `repository` is what git clones, perhaps with a password; `path` has no slash around it."""

    repository: str
    path: str
    rev: str | None = None
    remote: str | None = None

    @property
    def shown(self) -> str:
        """The repository without what may be secret: a password, and over HTTP also the user, which may be a token."""
        return _public(self.repository)

    def __str__(self) -> str:
        return f"{self.shown}//{self.path}" + (f" at {self.rev}" if self.rev else "")


def parse_url(url: str) -> Place:
    """Read a URL. Raises `InvalidArgument` saying what is wrong with it."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in SCHEMES:
        raise InvalidArgument(f"{_public(url)!r} is no URL of a path in a DVC project; {_FORM}")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(query) - {"rev", "remote"}):
        raise InvalidArgument(f"{_public(url)!r} has the parameter {unknown[0]!r}; known are rev and remote")
    if parts.fragment:
        raise InvalidArgument(f"{_public(url)!r} has a '#'; in a path write %23 for it")
    project, _, path = parts.path.partition("//")
    cleaned = unquote(path).strip("/")
    if any(segment in {"..", "."} for segment in cleaned.split("/")):
        raise InvalidArgument(f"{_public(url)!r}: the path in the project may not have . or .. in it")
    if scheme == "dvc":
        if parts.netloc not in {"", "localhost"} or project in {"", "/"}:
            raise InvalidArgument(f"{_public(url)!r} names no clone on this machine; {_FORM}")
        repository = unquote(project)
    else:
        if not parts.netloc or project in {"", "/"}:
            raise InvalidArgument(f"{_public(url)!r} names no git repository; {_FORM}")
        repository = f"{scheme.removeprefix('dvc+')}://{parts.netloc}{project}"
    return Place(repository, cleaned, query.get("rev") or None, query.get("remote") or None)


def _public(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    login, at, server = host.rpartition("@")
    user = f"{login.partition(':')[0]}{at}" if scheme.endswith("ssh") else ""
    return f"{scheme}{separator}{user}{server}{slash}{path}"
