"""Starting, finishing and listing commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from airflow_pachy.errors import BranchMoved, CommitFinished, CommitOpen, InvalidArgument
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Branch, Commit, CommitProvenance
from airflow_pachy.pfs.address import Address
from airflow_pachy.pfs.ancestry import ancestors
from airflow_pachy.pfs.describe import describe_commit, describe_commits
from airflow_pachy.pfs.firing import fire_triggers
from airflow_pachy.pfs.heads import Seen, utc_now
from airflow_pachy.pfs.labels import check_labels, has_labels, merged_labels
from airflow_pachy.pfs.lookups import find_commit, find_commit_by_id, require_data
from airflow_pachy.pfs.mirror import CommitMirror, mirror_key, write_mirror
from airflow_pachy.pfs.mirroring import mirror_again
from airflow_pachy.pfs.names import new_id
from airflow_pachy.pfs.oneshot_rows import lock_branch, upstream_heads
from airflow_pachy.pfs.open_commits import last_sequence, lock_open, merged
from airflow_pachy.pfs.overlay import rebase
from airflow_pachy.pfs.paths import shown_path
from airflow_pachy.pfs.publish import add_provenance, move_head, see_branch
from airflow_pachy.pfs.root import tree_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.infos import CommitInfo
    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.tree import Tree


class BothChanged(BranchMoved):
    """The branch moved, and what it moved to changed the same paths as the commit to be finished."""


_ORIGINS = ("user", "auto")
_FINISH_TRIES = 10
_PAGE = 200


@retried
def start_commit(
    root: Root,
    branch: Address,
    *,
    parent: Address | None,
    description: str,
    provenance: Sequence[Address] | None,
    labels: Mapping[str, str] | None,
) -> CommitInfo:
    """Open a commit on a branch, making the branch if needed.

    Without `parent` it follows the branch's head; with one, the branch will continue from there. Without
    `provenance` it derives from the heads of the branch's upstream branches. Raises `CommitOpen` when one
    is open already.
    """
    with root.metadata.session() as session:
        row = lock_branch(session, branch, root.principal)
        if row.open_commit is not None:
            _refuse_second(session, row)
        base = find_commit(session, parent) if parent is not None else None
        if base is not None:
            _require_base(base, branch)
        elif row.head is not None:
            base = find_commit_by_id(session, row.head)
        upstream = _commit_ids(session, provenance) if provenance is not None else upstream_heads(session, branch)
        now = utc_now()
        commit = Commit(
            id=new_id(),
            repo=branch.repo,
            branch=branch.ref,
            parent=base.id if base else None,
            state="open",
            seen_ordinal=row.ordinal,
            tree=base.tree if base else None,
            size_bytes=base.size_bytes if base else 0,
            file_count=base.file_count if base else 0,
            started=now,
            heartbeat=now,
            description=description,
            origin="user",
            author=root.principal,
            labels=check_labels(labels) if labels else None,
        )
        session.add(commit)
        session.flush()
        add_provenance(session, commit.id, upstream)
        row.open_commit = commit.id
        session.flush()
        return describe_commit(session, commit)


def finish_commit(
    root: Root,
    address: Address,
    *,
    description: str | None = None,
    empty: bool = False,
    error: str | None = None,
    labels: Mapping[str, str | None] | None = None,
) -> CommitInfo:
    """Publish an open commit as the head of its branch; with `error`, close it beside the branch instead.

    `labels` are added to those it has.

    Finishing a finished commit again changes nothing. If the head moved since the commit was opened, its changes
    are carried over; raises `BranchMoved` when both sides changed the same path.
    """
    with root.metadata.reader() as session:
        commit = find_commit(session, address)
    for _ in range(_FINISH_TRIES):
        if commit.state != "open":
            return _already_finished(root, commit, empty=empty, error=error)
        tree, sequence = (root.tree(None), None) if empty else merged(root, commit)
        try:
            described = {
                "description": commit.description if description is None else description,
                "labels": merged_labels(commit.labels, labels),
            }
            finished = _close(root, commit, tree, sequence, described=described, error=error)
        except BothChanged:
            raise
        except BranchMoved:
            finished = None
        if finished is not None:
            return finished
        with root.metadata.reader() as session:
            commit = find_commit_by_id(session, commit.id)
    raise BranchMoved(
        f"commit {commit.repo}@{commit.id} could not be finished: others wrote to it or moved "
        f"{commit.repo}@{commit.branch} {_FINISH_TRIES} times meanwhile; stop them, then finish it again"
    )


@retried
def update_commit(
    root: Root, address: Address, *, description: str | None, labels: Mapping[str, str | None] | None
) -> CommitInfo:
    """Change what is said of a commit: the description if given, and the labels given; None takes a label away."""
    with root.metadata.session() as session:
        row = find_commit(session, address)
        row.description = row.description if description is None else description
        row.labels = merged_labels(row.labels, labels)
        session.flush()
        info = describe_commit(session, row)
    root.metadata.after_commit(lambda: mirror_again(root, [info.id]))
    return info


def inspect_commit(root: Root, address: Address) -> CommitInfo:
    """What is known of one commit."""
    with root.metadata.reader() as session:
        return describe_commit(session, find_commit(session, address))


def list_commits(
    root: Root,
    address: Address,
    *,
    after: Address | None = None,
    limit: int | None = None,
    reverse: bool = False,
    origin: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> Iterator[CommitInfo]:
    """A commit and its ancestors, newest first (oldest first with `reverse`), starting beyond `after`.

    With `origin` or `labels`, only those that have them. Read page by page: a caller that stops early costs little,
    except with `reverse`, which needs all ids first. Raises `InvalidArgument` if `after` is not among them.
    """
    if limit is not None and limit < 0:
        raise InvalidArgument(f"limit must be 0 or more, not {limit}")
    if origin not in (None, *_ORIGINS):
        raise InvalidArgument(f"commits have no origin {origin!r}; it is {' or '.join(_ORIGINS)}")
    wanted = check_labels(labels or {})
    with root.metadata.reader() as session:
        start = _start_of_list(session, address)
        beyond = find_commit(session, after).id if after is not None else None
    if start is None:
        return
    left = limit if limit is not None else -1
    for ids in _pages(root, start, beyond, reverse=reverse):
        for info in _describe_ids(root, ids):
            if left == 0:
                return
            if (origin is None or info.origin == origin) and has_labels(info.labels, wanted):
                left -= 1
                yield info


def _start_of_list(session: Session, address: Address) -> str | None:
    if not address.is_commit_id and not address.ancestry:
        row = session.get(Branch, (address.repo, address.ref))
        if row is not None:
            return row.open_commit or row.head
    return find_commit(session, address).id


def _pages(root: Root, start: str, beyond: str | None, *, reverse: bool) -> Iterator[list[str]]:
    if reverse:
        with root.metadata.reader() as session:
            ids = list(ancestors(session, start))[::-1]
        if beyond is not None:
            if beyond not in ids:
                raise InvalidArgument(
                    f"commit {beyond} is not in the history of commit {start}: nothing comes after it"
                )
            ids = ids[ids.index(beyond) + 1 :]
        yield from (ids[at : at + _PAGE] for at in range(0, len(ids), _PAGE))
        return
    current: str | None = start
    if beyond is not None:
        with root.metadata.reader() as session:
            current = find_commit_by_id(session, beyond).parent
    while current is not None:
        with root.metadata.reader() as session:
            ids = []
            for commit_id in ancestors(session, current):
                ids.append(commit_id)
                if len(ids) == _PAGE:
                    break
            current = session.scalar(select(Commit.parent).where(Commit.id == ids[-1])) if ids else None
        if ids:
            yield ids


def _describe_ids(root: Root, ids: list[str]) -> list[CommitInfo]:
    with root.metadata.reader() as session:
        rows = {row.id: row for row in session.scalars(select(Commit).where(Commit.id.in_(ids)))}
        return describe_commits(session, [rows[one] for one in ids if one in rows])


def _refuse_second(session: Session, row: Branch) -> None:
    other = find_commit_by_id(session, str(row.open_commit))
    by = f" by {other.author}" if other.author else ""
    raise CommitOpen(
        f"branch {row.repo}@{row.name} has the open commit {other.id}, started {other.started:%Y-%m-%d %H:%M} UTC{by}; "
        f"finish it (pachy finish commit {row.repo}@{row.name}) or drop it (pachy drop commit {row.repo}@{other.id})"
    )


def _require_base(base: Commit, branch: Address) -> None:
    if base.repo != branch.repo:
        raise InvalidArgument(f"parent {base.repo}@{base.id} is a commit of another repo than {branch}")
    if base.state != "finished":
        raise CommitOpen(f"parent {base.repo}@{base.id} is {base.state}; finish it first")
    require_data(base)


def _commit_ids(session: Session, addresses: Sequence[Address]) -> list[str]:
    return [find_commit(session, address).id for address in addresses]


def _already_finished(root: Root, commit: Commit, *, empty: bool, error: str | None) -> CommitInfo:
    if (empty and commit.file_count) or (error is not None and commit.error != error):
        raise CommitFinished(
            f"commit {commit.repo}@{commit.id} is {commit.state} already and cannot be finished differently"
        )
    with root.metadata.reader() as session:
        return describe_commit(session, commit)


@retried
def _close(
    root: Root,
    commit: Commit,
    tree: Tree,
    sequence: int | None,
    *,
    described: Mapping[str, Any],
    error: str | None,
) -> CommitInfo | None:
    """One try to publish; None if a batch of changes arrived meanwhile."""
    branch = _branch_of(commit)
    with root.metadata.reader() as session:
        seen = see_branch(session, branch)
        head = find_commit_by_id(session, seen.head) if seen.head else None
        upstream = session.scalars(select(CommitProvenance.upstream).where(CommitProvenance.commit == commit.id)).all()
    parent = commit.parent
    if error is None and seen.ordinal != commit.seen_ordinal:
        tree, parent = _carried_over(root, commit, tree, head), seen.head
    values: dict[str, Any] = {
        "parent": parent,
        "ordinal": seen.ordinal + 1 if error is None else None,
        "state": "finished" if error is None else "error",
        "tree": tree_text(tree),
        "size_bytes": tree.size_bytes,
        "file_count": len(tree),
        "finished": utc_now(),
        "heartbeat": None,
        "error": error,
        **described,
    }
    mirror = CommitMirror.of(commit, upstream, **values)
    root.metadata.on_rollback(lambda: root.store.delete([mirror_key(commit.id)]))
    write_mirror(root.store, mirror)
    with root.metadata.session() as session:
        row = lock_open(session, commit.id)
        if sequence is not None and last_sequence(session, commit.id) != sequence:
            return None
        _record(session, row, values, seen if error is None else None, root.principal)
        return describe_commit(session, row)


def _record(session: Session, row: Commit, values: Mapping[str, object], seen: Seen | None, author: str | None) -> None:
    branch = _branch_of(row)
    if seen is not None:
        move_head(session, branch, row.id, seen, author)
    session.execute(
        update(Branch)
        .where(Branch.repo == row.repo, Branch.name == row.branch, Branch.open_commit == row.id)
        .values(open_commit=None)
        .execution_options(synchronize_session=False)
    )
    for name, value in values.items():
        setattr(row, name, value)
    session.flush()
    if seen is not None:
        fire_triggers(session, branch, author)


def _carried_over(root: Root, commit: Commit, tree: Tree, head: Commit | None) -> Tree:
    base, theirs = root.tree(commit.tree), root.tree(head.tree if head else None)
    carried, both = rebase(base, tree, theirs)
    if both:
        paths = ", ".join(shown_path(path) for path in both)
        raise BothChanged(
            f"{commit.repo}@{commit.branch} moved to {head.id if head else 'nothing'} while commit {commit.id} was "
            f"open, and these paths changed on both sides: {paths}. Drop the commit and make the changes again"
        )
    return carried


def _branch_of(commit: Commit) -> Address:
    return Address(commit.repo, commit.branch)
