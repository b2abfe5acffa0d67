"""Taking commits out of history. Trees are whole, so what remains keeps its files; bytes are left to GC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from airflow_pachy.errors import CommitOpen, HasDependents
from airflow_pachy.metadata.models import Branch, Commit, CommitProvenance, HeadMove
from airflow_pachy.pfs.address import Address
from airflow_pachy.pfs.firing import in_trigger_order
from airflow_pachy.pfs.lookups import find_commit, find_commit_by_id
from airflow_pachy.pfs.mirror import CommitMirror, mirror_key, write_mirror
from airflow_pachy.pfs.provenance import downstream_closure
from airflow_pachy.pfs.publish import Seen, move_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.root import Root


def drop_commit(root: Root, address: Address) -> str:
    """Remove a commit without children and return its id; a branch whose head it was falls back to its parent.

    Raises `HasDependents` when it has children or other commits derive from it.
    """
    with root.metadata.session() as session:
        row = _locked(session, address)
        if children := _children(session, row.id):
            raise HasDependents(
                f"commit {row.repo}@{row.id} has {len(children)} children ({children[0].id}, ...); "
                "drop those first, or squash it, which keeps them"
            )
        _require_no_subvenance(session, row)
        removed = _remove(session, row, root.principal)
    root.store.delete([mirror_key(removed)])
    return removed


def squash_commit(root: Root, address: Address) -> None:
    """Remove a commit that has finished children; they keep their files and follow its parent.

    Raises `HasDependents` when it has no children (drop it instead) or others derive from it, `CommitOpen`.
    """
    with root.metadata.session() as session:
        row = _locked(session, address)
        if row.state == "open":
            raise CommitOpen(f"commit {row.repo}@{row.id} is open; finish it or drop it")
        children = _children(session, row.id)
        if not children:
            raise HasDependents(
                f"commit {row.repo}@{row.id} has no children that could take its changes over; drop it instead"
            )
        if unfinished := [child.id for child in children if child.state == "open"]:
            raise CommitOpen(
                f"the child {row.repo}@{unfinished[0]} is open; finish or drop it before squashing its parent"
            )
        _require_no_subvenance(session, row)
        removed = _remove(session, row, root.principal)
    _mirror_again(root, [child.id for child in children])
    root.store.delete([mirror_key(removed)])


def delete_commit(root: Root, address: Address) -> None:
    """Remove a commit and every commit that derives from it, wherever they stand in their histories."""
    with root.metadata.session() as session:
        row = _locked(session, address)
        doomed = [row.id, *sorted(downstream_closure(session, row.id))]
        touched: set[str] = set()
        for commit_id in doomed:
            victim = find_commit_by_id(session, commit_id)
            touched.update(child.id for child in _children(session, commit_id))
            _remove(session, victim, root.principal)
    _mirror_again(root, sorted(touched - set(doomed)))
    root.store.delete([mirror_key(one) for one in doomed])


def _locked(session: Session, address: Address) -> Commit:
    row = find_commit(session, address)
    session.execute(select(Branch.name).where(Branch.repo == row.repo, Branch.name == row.branch).with_for_update())
    return row


def _children(session: Session, commit_id: str) -> Sequence[Commit]:
    return session.scalars(select(Commit).where(Commit.parent == commit_id).order_by(Commit.started)).all()


def _require_no_subvenance(session: Session, row: Commit) -> None:
    below = session.execute(
        select(Commit.repo, Commit.id)
        .join(CommitProvenance, CommitProvenance.commit == Commit.id)
        .where(CommitProvenance.upstream == row.id)
        .limit(1)
    ).first()
    if below is not None:
        raise HasDependents(
            f"commit {below.repo}@{below.id} derives from {row.repo}@{row.id}; delete_commit removes both, "
            "or remove that one first"
        )


def _remove(session: Session, row: Commit, author: str | None) -> str:
    session.execute(update(Commit).where(Commit.parent == row.id).values(parent=row.parent))
    session.execute(
        update(Branch).where(Branch.repo == row.repo, Branch.open_commit == row.id).values(open_commit=None)
    )
    names = session.scalars(select(Branch.name).where(Branch.repo == row.repo, Branch.head == row.id)).all()
    for name in in_trigger_order(session, row.repo, names):
        where = (Branch.repo == row.repo, Branch.name == name, Branch.head == row.id)
        ordinal = session.scalar(select(Branch.ordinal).where(*where).with_for_update())
        if ordinal is not None:
            move_head(session, Address(row.repo, name), row.parent, Seen(row.id, ordinal), author)
    session.execute(delete(HeadMove).where(HeadMove.commit == row.id))
    session.execute(delete(CommitProvenance).where(CommitProvenance.upstream == row.id))
    session.delete(row)
    session.flush()
    return row.id


def _mirror_again(root: Root, commit_ids: Sequence[str]) -> None:
    with root.metadata.reader() as session:
        rows = [session.get(Commit, one) for one in commit_ids]
        mirrors = [
            CommitMirror.of(
                row,
                session.scalars(select(CommitProvenance.upstream).where(CommitProvenance.commit == row.id)).all(),
            )
            for row in rows
            if row is not None
        ]
    for mirror in mirrors:
        write_mirror(root.store, mirror)
