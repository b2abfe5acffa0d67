"""Whether a database is the one that belongs to the bucket: one that knows less would have everything else collected.

An empty database beside a full bucket, or last month's backup of it, looks to garbage collection as if most objects
were not needed. The copies in the bucket tell: of repos that the database does not know, and of commits that are
further on their branches than the database is.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_pachy.errors import Corrupt, ObjectNotFound
from airflow_pachy.metadata.models import Branch, Commit, Repo
from airflow_pachy.pfs import mirror, record_copies, record_mirrors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airflow_pachy.pfs.root import Root

# Copies are written before what they describe is visible; younger ones may belong to a transaction under way.
_SETTLED = timedelta(hours=1)
_PAGE = 500


def strangers(root: Root, now: datetime) -> Iterator[tuple[str, str]]:
    """Copies (what and where) that the database of this bucket would know about."""
    with root.metadata.reader() as session:
        repos = set(session.scalars(select(Repo.name)))
    for info in root.store.list_keys(record_copies.record_key("repos", [""]).removesuffix(".json")):
        parsed = record_mirrors.parse_record_key(info.key)
        if parsed is not None and parsed[1][0] not in repos and info.modified < now - _SETTLED:
            yield f"repo {parsed[1][0]!r}, which the database does not know", info.key
    yield from _newer_commits(root, now)


def _newer_commits(root: Root, now: datetime) -> Iterator[tuple[str, str]]:
    page: list[str] = []
    for info in root.store.list_keys(mirror.PREFIX):
        if info.modified < now - _SETTLED:
            page.append(info.key.rpartition("/")[2].removesuffix(".json"))
        if len(page) == _PAGE:
            yield from _unknown(root, page)
            page = []
    yield from _unknown(root, page)


def _unknown(root: Root, ids: list[str]) -> Iterator[tuple[str, str]]:
    with root.metadata.reader() as session:
        known = set(session.scalars(select(Commit.id).where(Commit.id.in_(ids))))
    for commit in ids:
        if commit in known:
            continue
        try:
            told = mirror.read_mirror(root.store, commit)
        except (ObjectNotFound, Corrupt):
            continue  # deleted meanwhile, or nothing of ours
        with root.metadata.reader() as session:
            branch = session.get(Branch, (told["repo"], told["branch"]))
        # A writer that died may be one move ahead of the branch, never more.
        if branch is not None and (told["ordinal"] or 0) > branch.ordinal + 1:
            what = f"commit {told['repo']}@{commit}, move {told['ordinal']} of branch {told['branch']!r}, which is at"
            yield f"{what} {branch.ordinal} in the database", mirror.mirror_key(commit)
