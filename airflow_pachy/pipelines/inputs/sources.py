"""The commits that a job's inputs read, opened: what inputs turn into datums.

`DatumInput` is made a million times per plan, so its identity (`token`) is encoded once when the path
is found and then only concatenated, however many datums of a cross share it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_pachy.pfs.tree import Tree


# (repo, branch, pinned commit or None): what decides which commit an input reads.
SourceKey = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True)
class Source:
    """One input's commit and its tree."""

    commit: str
    tree: Tree


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of a pipeline's input; several inputs may share one."""

    by_leaf: Mapping[SourceKey, Source]


class Captures(NamedTuple):
    """What joins and groups take from an input's paths: templates such as `$1`, filled from the groups of its glob."""

    glob: str
    join_on: str = ""
    group_by: str = ""


@dataclass(frozen=True, slots=True)
class DatumInput:
    """One input of one datum: everything under `path` (`""` is the whole repo) of a commit, and its content hash."""

    name: str
    repo: str
    branch: str
    commit: str
    path: str
    hash: bytes
    size_bytes: int = 0
    lazy: bool = False
    empty_files: bool = False
    token: bytes = field(default=b"", repr=False, compare=False)
    captures: Captures | None = field(default=None, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # What dataclasses do for frozen slots looks every field up by name, each time: joins pickle millions of these.
        return DatumInput, tuple(getattr(self, name) for name in _FIELDS)


_FIELDS = tuple(DatumInput.__dataclass_fields__)


def identity_token(name: bytes, path: str, content_hash: bytes) -> bytes:
    """The part of a datum's identity that one input contributes; lengths keep neighbours apart."""
    raw = path.encode("utf-8", "surrogateescape")
    return b"%d:%s%d:%s%s" % (len(name), name, len(raw), raw, content_hash)


# Where a datum comes in its input's listing; compared only with those of the same input.
Order = Any


@dataclass(frozen=True, slots=True)
class InputChanges:
    """How an input's datums differ between two versions of its sources: `added` with their order, and `removed`."""

    added: list[tuple[Order, tuple[DatumInput, ...]]]
    removed: list[tuple[DatumInput, ...]]
