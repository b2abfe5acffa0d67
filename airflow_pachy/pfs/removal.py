"""Taking commits out of history. Trees are whole, so what remains keeps its files; bytes are left to GC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from airflow_pachy.errors import CommitForgotten, CommitOpen, HasDependents
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Branch, Commit, CommitProvenance, HeadMove, Tag
from airflow_pachy.pfs.address import Address
from airflow_pachy.pfs.firing import in_trigger_order
from airflow_pachy.pfs.heads import Seen
from airflow_pachy.pfs.lookups import find_commit, find_commit_by_id
from airflow_pachy.pfs.mirror import mirror_key
from airflow_pachy.pfs.mirroring import mirror_again
from airflow_pachy.pfs.provenance import downstream_closure
from airflow_pachy.pfs.publish import move_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.root import Root


@retried
def drop_commit(root: Root, address: Address, *, recursive: bool = False) -> list[str]:
    """Remove a commit without children and return its id; a branch whose head it was falls back to its parent.

    With `recursive`, those that derive from it go as well. Raises `HasDependents` when it has children, is tagged, or
    others derive from it.
    """
    with root.metadata.session() as session:
        row = _locked(session, address)
        doomed = _doomed(session, row, recursive=recursive)
        for victim in doomed:
            children = [child for child in _children(session, victim.id) if child not in doomed]
            if children:
                raise HasDependents(
                    f"commit {victim.repo}@{victim.id} has {len(children)} children ({children[0].id}, ...); "
                    "drop those first, or squash it, which keeps them"
                )
        _remove_all(session, doomed, root.principal)
    return _unmirror(root, doomed, [])


@retried
def squash_commit(root: Root, address: Address, *, recursive: bool = False) -> None:
    """Remove a commit that has finished children; they keep their files and follow its parent.

    With `recursive`, those that derive from it are squashed as well. Raises `HasDependents` when one has no children
    (drop it instead), is tagged, or others derive from it; `CommitOpen`.
    """
    with root.metadata.session() as session:
        row = _locked(session, address)
        doomed = _doomed(session, row, recursive=recursive)
        touched = [child for victim in doomed for child in _heirs(session, victim) if child not in doomed]
        _remove_all(session, doomed, root.principal)
    _unmirror(root, doomed, touched)


@retried
def delete_commit(root: Root, address: Address) -> None:
    """Remove a commit and every commit that derives from it, wherever they stand in their histories.

    Raises `HasDependents` for a tagged one.
    """
    with root.metadata.session() as session:
        row = _locked(session, address)
        doomed = _doomed(session, row, recursive=True)
        touched = [child for victim in doomed for child in _children(session, victim.id) if child not in doomed]
        _remove_all(session, doomed, root.principal)
    _unmirror(root, doomed, touched)


def _locked(session: Session, address: Address) -> Commit:
    """The commit, with its branch locked first: of several who remove the head, each gets the one that is left."""
    row = find_commit(session, address)
    session.execute(select(Branch.name).where(Branch.repo == row.repo, Branch.name == row.branch).with_for_update())
    # Whoever had the lock before may have removed it.
    session.expire_all()
    return _lock(session, find_commit(session, address).id)


def _lock(session: Session, commit_id: str) -> Commit:
    query = select(Commit).where(Commit.id == commit_id).with_for_update().execution_options(populate_existing=True)
    row = session.scalars(query).one_or_none()
    return row if row is not None else find_commit_by_id(session, commit_id)


def _doomed(session: Session, row: Commit, *, recursive: bool) -> list[Commit]:
    """What is to be removed: the commit and, with `recursive`, all that derive from it. Raises `HasDependents`."""
    if not recursive:
        _require_no_subvenance(session, row)
    below = sorted(downstream_closure(session, row.id)) if recursive else []
    doomed = [row, *(_lock(session, one) for one in below)]
    for victim in doomed:
        tag = session.scalar(select(Tag.name).where(Tag.commit == victim.id).limit(1))
        if tag is not None:
            address = f"{victim.repo}@{tag}"
            raise HasDependents(
                f"commit {victim.repo}@{victim.id} is tagged {tag!r} and stays while it is; "
                f"delete the tag first with: pachy delete tag {address}"
            )
    return doomed


def _children(session: Session, commit_id: str) -> Sequence[Commit]:
    return session.scalars(select(Commit).where(Commit.parent == commit_id).order_by(Commit.started)).all()


def _heirs(session: Session, row: Commit) -> Sequence[Commit]:
    """The children of a commit that is to be squashed, which take over what it changed."""
    if row.state == "open":
        raise CommitOpen(f"commit {row.repo}@{row.id} is open; finish it or drop it")
    children = _children(session, row.id)
    if not children:
        raise HasDependents(
            f"commit {row.repo}@{row.id} has no children that could take its changes over; drop it instead"
        )
    if unfinished := [child.id for child in children if child.state == "open"]:
        raise CommitOpen(f"the child {row.repo}@{unfinished[0]} is open; finish or drop it before squashing its parent")
    return children


def _require_no_subvenance(session: Session, row: Commit) -> None:
    below = session.execute(
        select(Commit.repo, Commit.id)
        .join(CommitProvenance, CommitProvenance.commit == Commit.id)
        .where(CommitProvenance.upstream == row.id)
        .limit(1)
    ).first()
    if below is not None:
        raise HasDependents(
            f"commit {below.repo}@{below.id} derives from {row.repo}@{row.id}; delete_commit removes both, recursive "
            "drops or squashes both, or remove that one first"
        )


def _remove_all(session: Session, doomed: Sequence[Commit], author: str | None) -> None:
    for row in doomed:
        # A parent may have been removed just before.
        session.refresh(row)
        _remove(session, row, author)
    empty = session.execute(
        select(Branch.repo, Branch.name, Branch.head)
        .join(Commit, Commit.id == Branch.head)
        .where(Branch.repo.in_({row.repo for row in doomed}), Commit.forgotten.is_not(None))
        .limit(1)
    ).first()
    if empty is not None:
        raise CommitForgotten(
            f"branch {empty.repo}@{empty.name} would fall back to commit {empty.head}, whose data was forgotten; point "
            f"it elsewhere first (pachy create branch {empty.repo}@{empty.name} --head COMMIT), or delete it"
        )


def _remove(session: Session, row: Commit, author: str | None) -> None:
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


def _unmirror(root: Root, removed: Sequence[Commit], touched: Sequence[Commit]) -> list[str]:
    """Bring the copies in the bucket up to date; returns the ids of what was removed."""
    ids = [row.id for row in removed]
    changed = sorted({row.id for row in touched})
    root.metadata.after_commit(lambda: mirror_again(root, changed))
    root.metadata.after_commit(lambda: root.store.delete([mirror_key(one) for one in ids]))
    return ids
