"""Which commits keep their data, per repo: what falls out of it is forgotten, its metadata and provenance stay.

A commit keeps its data while any of these holds: it is the head of a branch or named by a tag, a commit that is still
open follows it, a job that has not ended reads it, it is among the last `keep_last` of its branch, or it was
finished less than `keep_days` days ago. A repo without either number keeps everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Branch, Commit, Job, JobInput, Repo, Tag
from airflow_pachy.pfs.heads import utc_now
from airflow_pachy.pfs.lookups import find_repo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.root import Root

_ENDED = ("success", "failed", "stopped")


@dataclass(frozen=True, slots=True)
class Retention:
    """How many commits of each branch, and how many days, keep their data; None does not count."""

    keep_last: int | None = None
    keep_days: int | None = None

    def __post_init__(self) -> None:
        if self.keep_last is not None and self.keep_last < 1:
            raise InvalidArgument(f"keep_last must be at least 1, not {self.keep_last}: a head always keeps its data")
        if self.keep_days is not None and self.keep_days < 0:
            raise InvalidArgument(f"keep_days must not be negative ({self.keep_days})")

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is ever forgotten."""
        return self.keep_last is None and self.keep_days is None


@retried
def set_retention(root: Root, repo: str, retention: Retention) -> None:
    """Set both numbers of a repo; they take effect when garbage is collected. Raises `RepoNotFound`."""
    with root.metadata.session() as session:
        row = find_repo(session, repo)
        row.keep_last, row.keep_days = retention.keep_last, retention.keep_days


def retention_of(root: Root, repo: str) -> Retention:
    """What is set for a repo. Raises `RepoNotFound`."""
    with root.metadata.reader() as session:
        row = find_repo(session, repo)
        return Retention(row.keep_last, row.keep_days)


def outdated(root: Root, override: Retention, now: datetime) -> dict[str, str]:
    """Commits beyond retention, their repos by their ids. `override` counts where a repo sets nothing itself."""
    found: dict[str, str] = {}
    with root.metadata.reader() as session:
        for repo in session.scalars(select(Repo).order_by(Repo.name)).all():
            own = Retention(repo.keep_last, repo.keep_days)
            rule = override if own.keeps_all else own
            if not rule.keeps_all:
                found |= dict.fromkeys(_outdated_in(session, repo.name, rule, now), repo.name)
    return found


def _outdated_in(session: Session, repo: str, rule: Retention, now: datetime) -> Iterator[str]:
    needed = _needed(session, repo)
    since = None if rule.keep_days is None else now - timedelta(days=rule.keep_days)
    query = (
        select(Commit.id, Commit.branch, Commit.finished)
        .where(Commit.repo == repo, Commit.state != "open", Commit.tree.is_not(None))
        .order_by(Commit.branch, Commit.finished.desc(), Commit.ordinal.desc())
    )
    branch, rank = None, 0
    for row in session.execute(query):
        branch, rank = (branch, rank + 1) if row.branch == branch else (row.branch, 1)
        last = rule.keep_last is not None and rank <= rule.keep_last
        young = since is not None and row.finished is not None and row.finished >= since
        if not last and not young and row.id not in needed:
            yield row.id


def _needed(session: Session, repo: str) -> set[str | None]:
    """Commits that are in use, whatever their age."""
    return {
        *session.scalars(select(Branch.head).where(Branch.repo == repo)),
        *session.scalars(select(Tag.commit).where(Tag.repo == repo)),
        *session.scalars(select(Commit.parent).where(Commit.repo == repo, Commit.state == "open")),
        *session.scalars(
            select(JobInput.commit)
            .join(Job, Job.id == JobInput.job)
            .where(JobInput.repo == repo, Job.state.not_in(_ENDED))
        ),
    }


@retried
def _forget(root: Root, ids: Sequence[str]) -> list[str]:
    forgotten = []
    with root.metadata.session() as session:
        for row in session.scalars(select(Commit).where(Commit.id.in_(ids)).with_for_update()):
            if row.id not in _needed(session, row.repo):
                row.tree, row.forgotten, row.forgotten_by = None, utc_now(), root.principal or "retention"
                forgotten.append(row.id)
    return forgotten


def forget_outdated(root: Root, commits: dict[str, str], override: Retention, now: datetime) -> tuple[str, ...]:
    """Forget these commits, except what came into use meanwhile; returns them as `repo@id`."""
    from airflow_pachy.pfs.mirroring import mirror_again

    still = outdated(root, override, now) if commits else {}
    forgotten: list[str] = []
    ids = [one for one in commits if one in still]
    for at in range(0, len(ids), 200):
        forgotten += _forget(root, ids[at : at + 200])
    mirror_again(root, forgotten)
    return tuple(f"{commits[one]}@{one}" for one in forgotten)
