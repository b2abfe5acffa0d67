"""The copies that commits should have in the bucket, from what the database says of them now."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_pachy.metadata.models import Commit, CommitProvenance, Tag
from airflow_pachy.pfs.mirror import CommitMirror, TagMirror, write_mirror

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.root import Root

_PAGE = 500


def mirror_again(root: Root, commit_ids: Sequence[str]) -> None:
    """Write the mirrors of commits as they are in the database now; those that are open or gone are left out."""
    for at in range(0, len(commit_ids), _PAGE):
        with root.metadata.reader() as session:
            mirrors = mirrors_of(session, commit_ids[at : at + _PAGE])
        for mirror in mirrors:
            write_mirror(root.store, mirror)


def mirrors_of(session: Session, commit_ids: Sequence[str]) -> list[CommitMirror]:
    """The mirrors that closed commits should have."""
    rows = session.scalars(select(Commit).where(Commit.id.in_(commit_ids), Commit.state != "open")).all()
    ids = [row.id for row in rows]
    edges = select(CommitProvenance).where(CommitProvenance.commit.in_(ids))
    upstream: dict[str, list[str]] = defaultdict(list)
    for edge in session.scalars(edges.order_by(CommitProvenance.commit, CommitProvenance.upstream)):
        upstream[edge.commit].append(edge.upstream)
    tags: dict[str, list[TagMirror]] = defaultdict(list)
    for tag in session.scalars(select(Tag).where(Tag.commit.in_(ids)).order_by(Tag.name)):
        tags[tag.commit].append(TagMirror(tag.name, tag.created, tag.author))
    return [CommitMirror.of(row, upstream[row.id], tags[row.id]) for row in rows]
