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
    # A server need not give an older commit by its id, so for that one the branch is fetched with its history.
    depth = 1 if remote_head(url, branch, login) == revision else None
    with _fetched(url, branch, login, depth) as repo:
        if revision.encode() in repo.object_store:
            yield _tree_of(repo, revision)
            return
    if depth is not None:
        # Somebody pushed in between.
        with _fetched(url, branch, login, None) as repo:
            if revision.encode() in repo.object_store:
                yield _tree_of(repo, revision)
                return
    raise NotFound(f"{url} has no commit {revision} on branch {branch}; it may have been removed by a forced push")


def _tree_of(repo: Any, revision: str) -> GitTree:
    from dulwich.object_store import iter_tree_contents
    from dulwich.objects import Commit

    commit = repo[revision.encode()]
    if not isinstance(commit, Commit):
        raise NotFound(f"{revision} is a {commit.type_name.decode()} of the git repository, not a commit")
    entries = iter_tree_contents(repo.object_store, commit.tree)
    files = [GitFile(one.path.decode("utf-8", "surrogateescape"), one.sha, one.mode) for one in entries]
    ordered = tuple(sorted(files, key=lambda one: one.path))
    return GitTree(_subject(commit.message), ordered, lambda blob: repo.object_store[blob].data)


@contextmanager
def _fetched(url: str, branch: str, login: GitLogin | None, depth: int | None) -> Iterator[Any]:
    """A bare repository on disk with the branch's newest commit, or with all of them."""
    client, path = _connect(url, login)
    from dulwich.repo import Repo

    def wanted(refs: Any, depth: int | None = None) -> list[bytes]:  # noqa: ARG001 - dulwich's signature
        return [_wanted(refs, url, branch)]

    with TemporaryDirectory(prefix="pachy-git-") as folder, Repo.init_bare(folder) as repo:
        with _explained(url):
            client.fetch(path, repo, determine_wants=wanted, depth=depth)
        yield repo


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
