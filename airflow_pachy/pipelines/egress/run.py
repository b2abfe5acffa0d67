"""Copying a commit to its target, only what is new there.

What was copied last to a target is kept in SQL. The next commit is compared with it by a diff of the two trees, so
a copy costs what changed. The note is written after the last byte: a copy that dies midway is repeated from
the note before, and writing a file again does no harm.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import CommitOpen, NotFound
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Egress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.egress.target import EgressTarget

    Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class EgressReport:
    """What a copy did: files and bytes (or rows) written, files deleted; `since` is the commit compared with."""

    commit: str
    url: str
    files: int = 0
    size_bytes: int = 0
    rows: int = 0
    deleted: int = 0
    since: str | None = None


def egress_commit(
    pfs: Pfs,
    commit: str,
    target: EgressTarget,
    *,
    options: Mapping[str, Any] | None = None,
    password: str | None = None,
    full: bool = False,
    progress: Progress | None = None,
) -> EgressReport:
    """Copy the files of a finished commit to `target`.

    `options` are credentials, by default those of the store itself: S3 settings for `s3://`, keyword arguments
    of the fsspec file system for other schemes. `password` is for a database URL that has none. `full` copies all
    files, whatever was copied before. `progress(files, bytes)` hears of each file. Raises `CommitOpen`,
    `InvalidArgument`, `Unavailable`, `Denied`.
    """
    info = pfs.inspect_commit(commit)
    if info.state != "finished":
        raise CommitOpen(f"commit {info} is {info.state}; only finished commits are copied to {_shown(target)}")
    if target.sql_database is not None:
        from airflow_pachy.pipelines.egress.tables import write_tables

        rows, files = write_tables(pfs, str(info), target.sql_database, password, progress)
        _note(pfs, info.repo, info.branch, target, info.id)
        return EgressReport(info.id, _shown(target), files=files, rows=rows)
    from airflow_pachy.pipelines.egress.folders import copy_files

    since = None if full else _last(pfs, info.repo, info.branch, target)
    files, size, deleted = copy_files(pfs, str(info), since, target, options or {}, progress=progress)
    _note(pfs, info.repo, info.branch, target, info.id)
    return EgressReport(info.id, _shown(target), files, size, deleted=deleted, since=since)


def _key(repo: str, branch: str, target: EgressTarget) -> str:
    return hashlib.blake2b(f"{repo}@{branch} {target.url}".encode(), digest_size=16).hexdigest()


def _last(pfs: Pfs, repo: str, branch: str, target: EgressTarget) -> str | None:
    """The commit that lies at the target, if it can still be compared with."""
    with pfs.metadata.reader() as session:
        row = session.get(Egress, _key(repo, branch, target))
        before = row.commit if row else None
    if before is None:
        return None
    try:
        info = pfs.inspect_commit(f"{repo}@{before}")
        pfs.tree(str(info))
    except NotFound:
        return None
    return str(info)


@retried
def _note(pfs: Pfs, repo: str, branch: str, target: EgressTarget, commit: str) -> None:
    with pfs.metadata.session() as session:
        key = _key(repo, branch, target)
        row = session.get(Egress, key, with_for_update=True)
        if row is None:
            row = Egress(
                id=key, repo=repo, branch=branch, url=_shown(target), commit=commit, finished=datetime.now(UTC)
            )
            session.add(row)
        row.commit, row.finished = commit, datetime.now(UTC)


def _shown(target: EgressTarget) -> str:
    """The URL without a password."""
    head, at, tail = target.url.rpartition("@")
    scheme, colon, account = head.partition("://")
    return f"{scheme}{colon}{account.partition(':')[0]}{at}{tail}" if at and colon else target.url
