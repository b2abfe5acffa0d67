"""Fetching one revision of a git repository, with dulwich: no git program is needed where it runs."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import Denied, InvalidArgument, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from dulwich.objects import Blob


@dataclass(frozen=True, slots=True)
class GitLogin:
    """User and password, or token, for a private repository."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class GitFile:
    """A path of a tree: its blob's id and git's mode."""

    path: str
    blob: Any
    mode: int


@dataclass(frozen=True, slots=True)
class GitTree:
    """The files of one commit in path order, and the first line of its message. `read` gets a blob's bytes."""

    subject: str
    files: tuple[GitFile, ...]
    read: Callable[[Any], bytes]


def remote_head(url: str, branch: str, login: GitLogin | None = None) -> str:
    """The id of the newest commit of a branch. Raises `NotFound`, `Unavailable`, `Denied`, `InvalidArgument`."""
    client, path = _connect(url, login)
    with _explained(url):
        answer = client.get_refs(path)
    # A dict before dulwich 0.23.
    refs = getattr(answer, "refs", answer)
    return _wanted(refs, url, branch).decode()


@contextmanager
def fetched_tree(url: str, branch: str, revision: str, login: GitLogin | None = None) -> Iterator[GitTree]:
    """The tree of a commit of the branch, for as long as the block lasts."""
    _dulwich()
    from dulwich.object_store import iter_tree_contents
    from dulwich.repo import Repo

    client, path = _connect(url, login)
    with TemporaryDirectory(prefix="pachy-git-") as folder, Repo.init_bare(folder) as repo:
        head = _fetch(client, path, repo, url, branch, depth=1)
        if head != revision:
            # An older commit: a server need not give it by its id, so the branch is fetched with its history.
            _fetch(client, path, repo, url, branch, depth=None)
        try:
            commit: Any = repo[revision.encode()]
            tree = commit.tree
        except (KeyError, AttributeError, AssertionError) as error:
            raise NotFound(
                f"{url} has no commit {revision} on branch {branch}; it may have been removed by a forced push"
            ) from error
        entries = iter_tree_contents(repo.object_store, tree)
        files = tuple(GitFile(one.path.decode("utf-8", "surrogateescape"), one.sha, one.mode) for one in entries)

        def read(blob: Any) -> bytes:
            found: Blob = repo.object_store[blob]  # type: ignore[assignment]  # trees name blobs
            return found.data

        yield GitTree(_subject(commit.message), tuple(sorted(files, key=lambda one: one.path)), read)


def _fetch(client: Any, path: Any, repo: Any, url: str, branch: str, *, depth: int | None) -> str:
    head: list[bytes] = []

    def wanted(refs: dict[bytes, bytes], depth: int | None = None) -> list[bytes]:  # noqa: ARG001 - dulwich's signature
        head.append(_wanted(refs, url, branch))
        return head[:1]

    with _explained(url):
        client.fetch(path, repo, determine_wants=wanted, depth=depth)
    return head[0].decode()


def _wanted(refs: Any, url: str, branch: str) -> bytes:
    found = refs.get(f"refs/heads/{branch}".encode())
    if found is None:
        names = sorted(
            name.decode("utf-8", "replace").removeprefix("refs/heads/")
            for name in refs
            if name.startswith(b"refs/heads/")
        )
        raise NotFound(f"{url} has no branch {branch!r}; it has {', '.join(names[:10]) or 'none'}")
    return bytes(found)


def _connect(url: str, login: GitLogin | None) -> tuple[Any, Any]:
    client = _dulwich()
    secrets = {"username": login.username, "password": login.password} if login else {}
    with _explained(url):
        return client.get_transport_and_path(url, **secrets)  # type: ignore[no-any-return]


def _dulwich() -> ModuleType:
    try:
        import dulwich.client
    except ImportError as error:
        raise InvalidArgument(
            "git inputs need the package dulwich, which is not installed: pip install 'airflow-provider-pachy[git]'"
        ) from error
    return dulwich.client


@contextmanager
def _explained(url: str) -> Iterator[None]:
    from dulwich.client import HTTPUnauthorized
    from dulwich.errors import GitProtocolError, NotGitRepository
    from urllib3.exceptions import HTTPError

    try:
        yield
    except HTTPUnauthorized as error:
        raise Denied(f"{url} wants a user and password: the repository is private, or there is none") from error
    except NotGitRepository as error:
        raise NotFound(f"there is no git repository at {url}") from error
    except (GitProtocolError, HTTPError, OSError) as error:
        raise Unavailable(f"{url} did not give what was asked for: {error}") from error


def _subject(message: bytes) -> str:
    lines = message.decode("utf-8", "replace").strip().splitlines()
    return lines[0] if lines else ""
