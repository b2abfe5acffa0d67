"""What the facade answers with: frozen values, safe to keep after the client is closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_pachy.pfs.triggers import Trigger

CommitState = Literal["open", "finished", "error"]
FileType = Literal["file", "dir"]


@dataclass(frozen=True, slots=True)
class RepoInfo:
    """A repo. `size_bytes` is that of the head of its branch master; `branches` are names, oldest first.

    `access` is what the caller may do with it: "NONE", "READER", "WRITER" or "OWNER".
    """

    name: str
    description: str
    created: datetime
    author: str | None
    size_bytes: int
    branches: tuple[str, ...]
    access: str = "OWNER"
    labels: dict[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class BranchInfo:
    """A branch. `head` is the id of its newest finished commit; `provenance` are its direct upstream branches.

    `open_commit` is the id of the commit that a user has open on it; `ordinal` counts how often the head moved.
    `subvenance` are the branches directly downstream; `transitive_provenance` and `transitive_subvenance` are all
    branches up and down, direct ones included. Branches are written `repo@branch`.
    """

    repo: str
    name: str
    head: str | None
    open_commit: str | None
    ordinal: int
    created: datetime
    provenance: tuple[str, ...] = ()
    subvenance: tuple[str, ...] = ()
    trigger: Trigger | None = None
    transitive_provenance: tuple[str, ...] = ()
    transitive_subvenance: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.repo}@{self.name}"


@dataclass(frozen=True, slots=True)
class TagInfo:
    """A name for a commit that never moves. `commit` is written `repo@id`, `str(tag)` is `repo@name`."""

    repo: str
    name: str
    commit: str
    created: datetime
    author: str | None

    def __str__(self) -> str:
        return f"{self.repo}@{self.name}"


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """A commit. `parent`, `children` and `provenance` (direct upstream commits) are written `repo@id`.

    `state` is "open", "finished" or "error" (finished off its branch, with `error` saying why). `origin` is
    "user" or "auto" (made by a job, whose id is `job`). `ordinal` is its number among the moves of its branch's head.
    `forgotten` is when its data was given up, by `forgotten_by`; size and counts still tell what there was.
    """

    repo: str
    id: str
    branch: str
    parent: str | None
    children: tuple[str, ...]
    state: CommitState
    started: datetime
    finished: datetime | None
    size_bytes: int
    file_count: int
    description: str
    origin: str
    provenance: tuple[str, ...]
    error: str | None = None
    author: str | None = None
    job: str | None = None
    ordinal: int | None = None
    tree: str | None = None
    labels: dict[str, str] = field(default_factory=dict, hash=False)
    tags: tuple[str, ...] = ()
    forgotten: datetime | None = None
    forgotten_by: str | None = None

    def __str__(self) -> str:
        return f"{self.repo}@{self.id}"


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file or directory of a commit, whose address is in `commit` as `repo@id`.

    `path` starts with `/` and, for a directory, ends with one. `hash` is the content hash in hex; a directory has
    one only when asked for by `inspect_file`, since it takes a walk over everything below. `size` is in bytes.
    """

    path: str
    type: FileType
    size: int
    hash: str | None
    commit: str
    file_count: int = 1
    executable: bool = False
    datum: str | None = None
    modified: datetime | None = None

    @property
    def is_dir(self) -> bool:
        """Whether this is a directory."""
        return self.type == "dir"

    @property
    def size_bytes(self) -> int:
        """The same as `size`, named with its unit."""
        return self.size


@dataclass(frozen=True, slots=True)
class Diff:
    """One file that differs between two commits: `new` is None when it was deleted, `old` None when it was added."""

    path: str
    new: FileInfo | None
    old: FileInfo | None
