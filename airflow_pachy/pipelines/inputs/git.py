"""The git input: a repo whose commits are the trees of a git branch's commits.

A webhook's payload says that something was pushed (`pushed_revision`), or polling finds it out (`poll_git`);
`feed_git` then fetches that revision and commits what differs.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from airflow_pachy.pipelines.inputs.base import input_kind
from airflow_pachy.pipelines.inputs.fed import FedInput
from airflow_pachy.pipelines.inputs.pfs import PfsInput

if TYPE_CHECKING:
    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.inputs.git_fetch import GitLogin

_SCHEMES = ("https", "http", "ssh", "git", "file")
_FED = re.compile(r"git ([0-9a-f]{40})\b")


@input_kind("git")
class GitInput(FedInput):
    """Reads all files of `branch` of the git repository at `url` as one datum, at `/pfs/<name>`."""

    url: str = Field(min_length=1)
    name: str = ""
    branch: str = "master"

    @model_validator(mode="before")
    @classmethod
    def _older_name_of_the_url(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "URL" in value:
            return {("url" if name == "URL" else name): item for name, item in value.items()}
        return value

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme not in _SCHEMES:
            raise ValueError(f"{self.url!r} is no URL to clone, such as https://github.com/owner/project.git")
        if parts.password:
            raise ValueError(
                "the URL of a git input is stored and shown, so it must not hold a password; "
                "put user and token into the Airflow connection that feeds it"
            )
        if not self.name:
            object.__setattr__(self, "name", re.sub(r"\.git$", "", parts.path.rstrip("/")).rpartition("/")[2])
        if not self.branch:
            object.__setattr__(self, "branch", "master")
        return self

    @cached_property
    def leaf(self) -> PfsInput:
        """How its repo is read."""
        return PfsInput(repo=self.name, name=self.name, branch=_branch_name(self.branch), glob="/")

    @property
    def purpose(self) -> str:
        """The description of its repo."""
        return f"Trees of branch {self.branch} of {self.url}."

    def to_spec(self) -> dict[str, Any]:
        """`{"git": {...}}` without defaults."""
        return {"git": self.model_dump(mode="json", exclude_defaults=True)}


def pushed_revision(payload: Mapping[str, Any], git: GitInput) -> str | None:
    """The commit that a push webhook of GitHub, GitLab or Gitea announces; None if it is not about this input."""
    if payload.get("ref") != f"refs/heads/{git.branch}" or payload.get("deleted"):
        return None
    place: Any = payload.get("repository") or payload.get("project") or {}
    fields = ("clone_url", "html_url", "ssh_url", "git_http_url", "git_ssh_url", "web_url", "http_url")
    known = {repository_address(str(place[name])) for name in fields if place.get(name)}
    revision = str(payload.get("after") or payload.get("checkout_sha") or "")
    if (
        repository_address(git.url) not in known
        or not re.fullmatch(r"[0-9a-f]{40}", revision)
        or not revision.strip("0")
    ):
        return None
    return revision


def is_signed(body: bytes, secret: str, signature: str) -> bool:
    """Whether a payload was signed with the webhook's secret (GitHub's and Gitea's `X-Hub-Signature-256`)."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"sha256={digest}", signature)


def fed_revision(pfs: Pfs, git: GitInput) -> str | None:
    """The git commit whose tree the head of the input's repo has. Raises `BranchNotFound`, `RepoNotFound`."""
    head = pfs.inspect_branch(f"{git.leaf.repo}@{git.leaf.branch}").head
    match = _FED.match(pfs.inspect_commit(f"{git.leaf.repo}@{head}").description or "") if head else None
    return match[1] if match else None


def poll_git(pfs: Pfs, git: GitInput, *, login: GitLogin | None = None) -> str | None:
    """Feed the newest revision if it is not there yet; returns the commit made. Raises as `feed_git` does."""
    from airflow_pachy.pipelines.inputs.git_fetch import remote_head

    revision = remote_head(git.url, git.branch, login)
    return None if revision == fed_revision(pfs, git) else feed_git(pfs, git, revision, login=login)


def feed_git(pfs: Pfs, git: GitInput, revision: str, *, login: GitLogin | None = None) -> str:
    """Commit the tree of a git commit, given by its 40 hex digits; returns the id of our commit.

    Files that are as before are not put again. Raises `NotFound` for a revision that the branch does not have,
    `Unavailable` or `Denied` when the server does not give it, `InvalidArgument` when dulwich is not installed.
    """
    from airflow_pachy.pipelines.inputs.git_fetch import fetched_tree
    from airflow_pachy.pipelines.inputs.git_tree import put_tree

    with fetched_tree(git.url, git.branch, revision, login) as tree:
        description = f"git {revision} {tree.subject}".strip()
        with pfs.commit(f"{git.leaf.repo}@{git.leaf.branch}", description=description) as commit:
            put_tree(pfs, commit, tree)
            return commit.id


def _branch_name(branch: str) -> str:
    """Our branch for a git branch, whose name may have slashes and dots."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", branch)


def repository_address(url: str) -> str:
    """A repository's address whatever the way to it: host and path without user, scheme and .git."""
    text = re.sub(r"^[a-z+]+://", "", url.strip().lower())
    text = re.sub(r"^[^@/]+@", "", text).replace(":", "/", 1) if "@" in text.partition("/")[0] else text
    return re.sub(r"(\.git)?/*$", "", text)
