"""Jobs whose process has died: they are ended, so that what they read and hold is not kept for ever.

A job is touched in SQL when it is planned and assembled; in between, its pods record datums in the bucket. So a job is
given up only when neither has happened for a long time. One that is alive after all, in a datum that takes longer,
loses nothing: its records stay, and assembling it opens it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from airflow_pachy.errors import Conflict
from airflow_pachy.metadata.models import Job
from airflow_pachy.pfs.client import Pfs
from airflow_pachy.pfs.rows import pages
from airflow_pachy.pipelines.failing import settle_and_close
from airflow_pachy.pipelines.infos import LIVE_STATES

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_pachy.pfs.root import Root


def expire_jobs(root: Root, idle_since: datetime, *, dry_run: bool) -> tuple[str, ...]:
    """Fail the jobs without a sign of life since then; returns their ids. In a dry run, only tells them."""
    idle = tuple(job for job in _untouched(root, idle_since) if not _has_recorded(root, job, idle_since))
    if dry_run:
        return idle
    reason = (
        f"it was given up: there was no sign of life from it after {idle_since:%Y-%m-%d %H:%M} UTC; clear its plan "
        "task to do the rest"
    )
    pfs = Pfs(root)
    return tuple(job for job in idle if _fail(pfs, job, reason))


def _fail(pfs: Pfs, job: str, reason: str) -> bool:
    try:
        settle_and_close(pfs, job, "failed", reason)
    except Conflict:
        # It has published meanwhile.
        return False
    return True


def _untouched(root: Root, idle_since: datetime) -> list[str]:
    query = select(Job.id).where(
        Job.state.in_(LIVE_STATES),
        Job.started < idle_since,
        or_(Job.heartbeat.is_(None), Job.heartbeat < idle_since),
    )
    return [row.id for row in pages(root, query, (Job.id,))]


def _has_recorded(root: Root, job: str, since: datetime) -> bool:
    return any(info.modified >= since for info in root.store.list_keys(f"jobs/{job}/"))
