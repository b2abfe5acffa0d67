"""The JSON copy of each commit in the bucket, from which the database can be rebuilt.

It is written just before the commit becomes visible in SQL, under the commit's own name, and written
again whenever facts about the commit change; readers never use it, so the last one written is the one that counts.
A copy left behind by a writer that died before its transaction is told by fsck from the branch's numbering.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_pachy.pfs.record_copies import FORMAT, decode_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from airflow_pachy.metadata.models import Commit
    from airflow_pachy.pfs.objects.store import ObjectStore

PREFIX = "commits/"
_TIMES = frozenset({"started", "finished", "forgotten"})


@dataclass(frozen=True, slots=True)
class TagMirror:
    """A name that the commit has."""

    name: str
    created: datetime
    author: str | None


@dataclass(frozen=True, slots=True)
class CommitMirror:
    """Everything about a finished commit that SQL knows."""

    id: str
    repo: str
    branch: str
    parent: str | None
    ordinal: int | None
    state: str
    tree: str | None
    size_bytes: int
    file_count: int
    started: datetime
    finished: datetime | None
    description: str
    origin: str
    author: str | None
    error: str | None
    job: str | None
    labels: Mapping[str, str] | None = None
    forgotten: datetime | None = None
    forgotten_by: str | None = None
    provenance: Sequence[str] = ()
    tags: Sequence[TagMirror] = ()

    @classmethod
    def of(cls, row: Commit, provenance: Sequence[str], tags: Sequence[TagMirror] = (), **changed: Any) -> CommitMirror:
        """The mirror of a row, with the facts in `changed` as they are about to become."""
        facts = {name: changed.get(name, getattr(row, name)) for name in cls.columns()}
        return cls(**facts, provenance=tuple(provenance), tags=tuple(tags))

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """The facts that are columns of the commit's row, under the same names."""
        return tuple(name for name in cls.__slots__ if name not in {"provenance", "tags"})

    def values(self) -> dict[str, Any]:
        """Those columns of the commit's row."""
        return {name: getattr(self, name) for name in self.columns()}

    def to_json(self) -> bytes:
        """The object's body."""
        document: dict[str, Any] = {"format": FORMAT}
        for name in self.__slots__:
            value = getattr(self, name)
            document[name] = value.isoformat() if name in _TIMES and value else value
        document["labels"] = dict(self.labels or {})
        document["tags"] = [
            {"name": tag.name, "created": tag.created.isoformat(), "author": tag.author} for tag in self.tags
        ]
        return json.dumps(document, ensure_ascii=False, indent=1).encode()


def mirror_key(commit_id: str) -> str:
    """Where the mirror of a commit lies."""
    return f"{PREFIX}{commit_id[:2]}/{commit_id}.json"


def write_mirror(store: ObjectStore, mirror: CommitMirror) -> None:
    """Write or rewrite the mirror of a commit."""
    store.put(mirror_key(mirror.id), mirror.to_json())


def read_mirror(store: ObjectStore, commit_id: str) -> dict[str, Any]:
    """The mirror's document; raises `ObjectNotFound` or `Corrupt`."""
    key = mirror_key(commit_id)
    return decode_mirror(store.get(key), f"{store.url}/{key}")


def decode_mirror(body: bytes, where: str) -> dict[str, Any]:
    """What the body of a mirror says; `where` names it in errors. Raises `Corrupt`."""
    return decode_record(body, where, "commit")
