"""The database made anew from the copies in the bucket.

Copies may say too much, since they are written before the transaction they describe: of a commit whose writer lost a
race, of a repo that was deleted since. What contradicts the others is left out, and told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from airflow_pachy.errors import Conflict
from airflow_pachy.metadata.changes import KINDS
from airflow_pachy.metadata.models import (
    Branch,
    BranchProvenance,
    Commit,
    CommitProvenance,
    Egress,
    HeadMove,
    Job,
    Pipeline,
    Repo,
    Tag,
)
from airflow_pachy.pfs import mirror
from airflow_pachy.pfs.record_copies import PREFIX, decode_record
from airflow_pachy.pfs.record_mirrors import parse_record_key, table_of
from airflow_pachy.pfs.rows import row_values
from airflow_pachy.pfs.upkeep.findings import Problem
from airflow_pachy.pfs.upkeep.marking import silent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.orm import Session

    from airflow_pachy.metadata.models import Base
    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.upkeep.marking import Progress

_READS = 16
_INSERTS = 1000
_JOB_ENDS = ("success", "failed", "stopped")
Document = Mapping[str, Any]


@dataclass(slots=True)
class _Found:
    """What the bucket tells: rows by table, commits by id, and what had to be left out."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    commits: dict[str, Document] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def of(self, model: type[Base]) -> list[dict[str, Any]]:
        """The rows of a model."""
        return self.rows[model.__tablename__]

    def leave_out(self, key: str, what: str) -> None:
        """Tell of a copy that is not restored."""
        self.problems.append(Problem(what, key, "it was left out; garbage collection deletes it"))


def rebuild(root: Root, progress: Progress = silent) -> list[Problem]:
    """Fill an empty database from the bucket; returns what was left out. Raises `Conflict` if it is not empty."""
    with root.metadata.reader() as session:
        for model in (Repo, Commit, Pipeline, Job):
            if session.execute(select(table_of(model)).limit(1)).first() is not None:
                raise Conflict(
                    f"the database {root.metadata.url} is not empty, and rebuilding would mix two histories; name a "
                    "new one with --metadata, look at what was rebuilt there, then put it in the place of this one"
                )
    found = _read_all(root.store, progress)
    _drop_strays(found)
    _settle_jobs(found)
    _make_moves(found)
    with root.metadata.session() as session:
        _insert_all(session, found)
    return found.problems


def _read_all(store: ObjectStore, progress: Progress) -> _Found:
    found = _Found()
    keys = [info.key for info in store.list_keys(PREFIX) if parse_record_key(info.key) is not None]
    for key, body in _bodies(store, keys, progress):
        document = decode_record(body, f"{store.url}/{key}")
        for table, rows in document.items():
            if isinstance(rows, list):
                found.rows[table] += rows
    keys = [info.key for info in store.list_keys(mirror.PREFIX)]
    for key, body in _bodies(store, keys, progress):
        document = mirror.decode_mirror(body, f"{store.url}/{key}")
        found.commits[document["id"]] = document
    return found


def _bodies(store: ObjectStore, keys: list[str], progress: Progress) -> Iterator[tuple[str, bytes]]:
    with ThreadPoolExecutor(_READS, thread_name_prefix="mirrors") as pool:
        for at in range(0, len(keys), _READS * 64):
            batch = keys[at : at + _READS * 64]
            yield from zip(batch, pool.map(store.get, batch), strict=True)
            progress("read", len(batch))


def _drop_strays(found: _Found) -> None:
    _drop_deleted(found)
    _drop_losers(found)
    for commit_id, commit in found.commits.items():
        parent = commit["parent"]
        if parent is not None and parent not in found.commits:
            what = f"its parent {parent} has no mirror"
            found.problems.append(Problem(what, f"commit {commit_id}", "it begins a history now"))
            found.commits[commit_id] = {**commit, "parent": None}


def _drop_deleted(found: _Found) -> None:
    """Leave out what belongs to repos that are not there any more, or were made anew since."""
    repos = {row["name"]: _time(row["created"]) for row in found.of(Repo)}
    for commit in list(found.commits.values()):
        born = repos.get(commit["repo"])
        if born is None or _time(commit["started"]) < born:
            _leave_out(found, commit, f"its repo {commit['repo']!r} was deleted")
    for model in (Branch, HeadMove, Egress, BranchProvenance):
        found.rows[model.__tablename__] = [row for row in found.of(model) if row["repo"] in repos]


def _drop_losers(found: _Found) -> None:
    """Leave out commits that lost the race for their place on a branch: one commit makes each move."""
    branches = {(row["repo"], row["name"]): row for row in found.of(Branch)}
    moved = {(row["repo"], row["branch"], row["ordinal"]): row["commit"] for row in found.of(HeadMove)}
    rivals: dict[tuple[str, str, int], list[Document]] = defaultdict(list)
    for commit in found.commits.values():
        branch = branches.get((commit["repo"], commit["branch"]))
        if branch is not None and _is_of(commit, branch):
            rivals[commit["repo"], commit["branch"], commit["ordinal"]].append(commit)
    needed = {commit["parent"] for commit in found.commits.values()}
    needed.update(one for commit in found.commits.values() for one in commit["provenance"])
    for place, commits in rivals.items():
        commits.sort(key=lambda one: (one["id"] not in needed, _time(one["finished"]), one["id"]))
        winner = moved.get(place, commits[0]["id"])
        for commit in commits:
            if commit["id"] != winner:
                _leave_out(found, commit, f"move {place[2]} of {place[0]}@{place[1]} is another commit's")


def _is_of(commit: Document, branch: Document) -> bool:
    """Whether a commit was published on the branch as it is now, not on one of the same name before it."""
    if commit["state"] != "finished" or commit["ordinal"] is None or commit["finished"] is None:
        return False
    return bool(commit["id"] == branch["head"] or _time(commit["finished"]) >= _time(branch["created"]))


def _leave_out(found: _Found, commit: Document, why: str) -> None:
    del found.commits[commit["id"]]
    found.leave_out(mirror.mirror_key(commit["id"]), f"commit {commit['id']} was never published, or removed: {why}")


def _settle_jobs(found: _Found) -> None:
    for job in found.of(Job):
        if job["output_commit"] not in found.commits:
            job["output_commit"] = None  # it was open, or was removed
        if job["state"] not in _JOB_ENDS:
            job |= {
                "state": "failed",
                "finished": datetime.now(UTC).isoformat(),
                "heartbeat": None,
                "error": f"the database was rebuilt while it was {job['state']}; clear its plan task to run it again",
            }


def _make_moves(found: _Found) -> None:
    """The moves of each branch: those by commits, and those that were recorded; the last one tells the head."""
    branches = {(row["repo"], row["name"]): row for row in found.of(Branch)}
    moves: dict[tuple[str, str, int], dict[str, Any]] = {}
    last = {place: row["ordinal"] for place, row in branches.items()}
    for commit in found.commits.values():
        place = (commit["repo"], commit["branch"])
        if place in branches and _is_of(commit, branches[place]):
            moves[(*place, commit["ordinal"])] = {
                "repo": place[0],
                "branch": place[1],
                "ordinal": commit["ordinal"],
                "commit": commit["id"],
                "moved": commit["finished"],
                "author": commit["author"],
            }
    for row in found.of(HeadMove):
        place = (row["repo"], row["branch"])
        if place in branches and _time(row["moved"]) >= _time(branches[place]["created"]):
            last[place] = max(last[place], row["ordinal"])
            if row["commit"] is None or row["commit"] in found.commits:
                moves[(*place, row["ordinal"])] = row
    for row in branches.values():
        row |= {"head": None, "open_commit": None}
    for (repo, name, ordinal), row in sorted(moves.items()):
        branches[repo, name]["head"] = row["commit"]
        last[repo, name] = max(last[repo, name], ordinal)
    for place, row in branches.items():
        row["ordinal"] = last[place]
    found.rows[HeadMove.__tablename__] = list(moves.values())


def _insert_all(session: Session, found: _Found) -> None:
    _insert(session, Repo, found.of(Repo))
    _insert(session, Commit, ({**commit, "labels": commit.get("labels") or None} for commit in found.commits.values()))
    edges = ({"commit": one, "upstream": up} for one, commit in found.commits.items() for up in commit["provenance"])
    _insert(session, CommitProvenance, edges)
    tags = (
        {**tag, "repo": commit["repo"], "commit": one}
        for one, commit in found.commits.items()
        for tag in commit.get("tags", ())
    )
    _insert(session, Tag, tags)
    for kind in KINDS.values():
        for model in (kind.model, *(part for part, _ in kind.parts)):
            if model is not Repo:
                _insert(session, model, found.of(model))


def _insert(session: Session, model: type[Base], rows: Iterable[Document]) -> None:
    table = table_of(model)
    values = [row_values(table, row) for row in rows]
    for at in range(0, len(values), _INSERTS):
        session.execute(insert(table), values[at : at + _INSERTS])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
