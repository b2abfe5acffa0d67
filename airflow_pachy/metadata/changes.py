"""Which records a transaction changes, for whoever keeps copies of them elsewhere.

Changes made through the ORM are noticed here by themselves; statements that bypass it say so with `touch`. A record
is a row with the rows that belong to it: a repo with its grants, a branch with its provenance, a job with its inputs
and datum sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import Session

from airflow_pachy.metadata.models import (
    Base,
    Branch,
    BranchProvenance,
    Commit,
    DatumSet,
    Egress,
    Grant,
    HeadMove,
    Job,
    JobInput,
    Pipeline,
    PipelineVersion,
    Repo,
    SpoutPosition,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_TOUCHED = "pachy_touched"
_PUBLISHED = "pachy_published"


@dataclass(frozen=True, slots=True)
class RecordKind:
    """A model, the columns that name a row of it, and, by model, the columns that name rows that belong to it.

    `volatile` columns change all the time and are not worth a copy by themselves.
    """

    model: type[Base]
    key: tuple[str, ...]
    parts: tuple[tuple[type[Base], tuple[str, ...]], ...] = ()
    volatile: frozenset[str] = frozenset()


KINDS: dict[str, RecordKind] = {
    "repos": RecordKind(Repo, ("name",), ((Grant, ("repo",)),)),
    "branches": RecordKind(
        Branch,
        ("repo", "name"),
        ((BranchProvenance, ("repo", "branch")),),
        # Commits tell of heads, and "moves" of what no commit tells.
        frozenset({"head", "ordinal", "open_commit"}),
    ),
    "moves": RecordKind(HeadMove, ("repo", "branch", "ordinal")),
    "pipelines": RecordKind(Pipeline, ("name",), ((PipelineVersion, ("name",)), (SpoutPosition, ("pipeline",)))),
    "jobs": RecordKind(Job, ("id",), ((JobInput, ("job",)), (DatumSet, ("job",))), frozenset({"heartbeat"})),
    "egress": RecordKind(Egress, ("id",)),
}
"""In the order in which rows may be inserted."""

Key = tuple[str, ...]

_HOMES: dict[type[Base], tuple[str, tuple[str, ...]]] = {
    model: (name, columns) for name, kind in KINDS.items() for model, columns in ((kind.model, kind.key), *kind.parts)
}


def touch(session: Session, kind: str, *key: str) -> None:
    """Say that a record changes in this transaction."""
    session.info.setdefault(_TOUCHED, {})[kind, key] = None


def touched(session: Session) -> Sequence[tuple[str, Key]]:
    """The records that have changed in this transaction, in the order of their first change."""
    published = session.info.get(_PUBLISHED, set())
    records = session.info.get(_TOUCHED, {})
    return [(kind, key) for kind, key in records if kind != "moves" or key not in published]


@event.listens_for(Session, "after_flush")
def _notice(session: Session, context: Any) -> None:  # noqa: ARG001 - SQLAlchemy's
    for row in (*session.new, *session.dirty, *session.deleted):
        if isinstance(row, Commit):
            if row.ordinal is not None:
                # This move of the branch is in the commit's own mirror.
                session.info.setdefault(_PUBLISHED, set()).add((row.repo, row.branch, str(row.ordinal)))
        elif (home := _HOMES.get(type(row))) is not None and _matters(session, row, KINDS[home[0]]):
            touch(session, home[0], *(str(getattr(row, column)) for column in home[1]))


def _matters(session: Session, row: Any, kind: RecordKind) -> bool:
    if row not in session.dirty:
        return True
    columns = inspect(row).mapper.column_attrs
    return any(one.key not in kind.volatile and inspect(row).attrs[one.key].history.has_changes() for one in columns)
