"""One query for the heads of many branches: all that a poll costs, however many DAGs watch."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_pachy.metadata.database import Metadata

Branch: TypeAlias = tuple[str, str]
"""Repo and branch name."""
Head: TypeAlias = tuple[int, str]
"""How often the head has moved, and the id of the commit. The count tells a move to an old commit from no move."""

_BATCH = 300


def read_heads(metadata: Metadata, branches: Collection[Branch]) -> dict[Branch, Head]:
    """The heads of those of `branches` that exist and have one."""
    from sqlalchemy import and_, or_, select

    from airflow_pachy.metadata.models import Branch as Row

    wanted = sorted(branches)
    heads: dict[Branch, Head] = {}
    with metadata.reader() as session:
        for start in range(0, len(wanted), _BATCH):
            named = or_(*(and_(Row.repo == repo, Row.name == name) for repo, name in wanted[start : start + _BATCH]))
            query = select(Row.repo, Row.name, Row.ordinal, Row.head).where(named, Row.head.is_not(None))
            heads |= {(repo, name): (ordinal, head) for repo, name, ordinal, head in session.execute(query) if head}
    return heads
