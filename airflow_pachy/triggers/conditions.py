"""One-shot triggers: a commit is finished, files are there, jobs have ended.

Each has a pure function beside it that looks once. Sensors use the same function when they poke,
so both ways of waiting agree on what they wait for.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import NotFound, PathNotFound
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.triggers.polling import POLL_SECONDS, PollingTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.pfs import Pfs

LIVE = ("planning", "running")


def look_for_commit(pfs: Pfs, address: str, newer_than: str | None) -> dict[str, Any] | None:
    """A finished commit at `address` that is not `newer_than`, as `{repo, branch, commit, state}`.

    A branch without commits, or that does not exist yet, is waited for; a repo that does not exist raises.
    """
    try:
        info = pfs.inspect_commit(address)
    except NotFound:
        if _repo_exists(pfs, address):
            return None
        raise
    if info.state == "open" or info.id == newer_than:
        return None
    return {"repo": info.repo, "branch": info.branch, "commit": info.id, "state": info.state}


def look_for_files(pfs: Pfs, address: str, min_count: int) -> dict[str, Any] | None:
    """The first paths that match `repo@branch:/glob` in the newest finished commit, once there are `min_count`."""
    commit_address, _, pattern = address.partition(":")
    try:
        found = [info.path for info in islice(pfs.glob_file(commit_address, pattern or "/"), min_count)]
    except PathNotFound:
        return None
    except NotFound:
        if _repo_exists(pfs, address):
            return None
        raise
    return {"paths": found} if len(found) >= min_count else None


def look_for_ended_jobs(pfs: Pfs, jobs: Sequence[str]) -> dict[str, Any] | None:
    """The states of the jobs by id, once none of them is live."""
    from airflow_pachy.pipelines.jobs import job_state

    states = {job: job_state(pfs, job) for job in jobs}
    return None if any(state in LIVE for state in states.values()) else {"jobs": states}


def _repo_exists(pfs: Pfs, address: str) -> bool:
    repo = address.partition(":")[0].partition("@")[0]
    try:
        pfs.inspect_repo(repo)
    except NotFound:
        return False
    return True


class PfsCommitStateTrigger(PollingTrigger):
    """Fires when the commit at `address` is finished (or broken), with `{repo, branch, commit, state}`."""

    def __init__(
        self,
        *,
        address: str,
        newer_than: str | None = None,
        pfs_conn_id: str = DEFAULT_CONNECTION,
        poll_interval: float = POLL_SECONDS,
    ) -> None:
        super().__init__(pfs_conn_id=pfs_conn_id, poll_interval=poll_interval)
        self.address = address
        self.newer_than = newer_than

    def arguments(self) -> dict[str, Any]:
        """For `serialize`."""
        return {"address": self.address, "newer_than": self.newer_than}

    def look(self, pfs: Pfs) -> dict[str, Any] | None:
        """See `look_for_commit`."""
        return look_for_commit(pfs, self.address, self.newer_than)


class PfsFileTrigger(PollingTrigger):
    """Fires when at least `min_count` paths match the glob of `address`, with `{paths}`."""

    def __init__(
        self,
        *,
        address: str,
        min_count: int = 1,
        pfs_conn_id: str = DEFAULT_CONNECTION,
        poll_interval: float = POLL_SECONDS,
    ) -> None:
        super().__init__(pfs_conn_id=pfs_conn_id, poll_interval=poll_interval)
        self.address = address
        self.min_count = min_count

    def arguments(self) -> dict[str, Any]:
        """For `serialize`."""
        return {"address": self.address, "min_count": self.min_count}

    def look(self, pfs: Pfs) -> dict[str, Any] | None:
        """See `look_for_files`."""
        return look_for_files(pfs, self.address, self.min_count)


class PfsJobTrigger(PollingTrigger):
    """Fires when none of the jobs is live any more, with `{jobs: {id: state}}`."""

    def __init__(
        self,
        *,
        jobs: Sequence[str],
        pfs_conn_id: str = DEFAULT_CONNECTION,
        poll_interval: float = POLL_SECONDS,
    ) -> None:
        super().__init__(pfs_conn_id=pfs_conn_id, poll_interval=poll_interval)
        self.jobs = list(jobs)

    def arguments(self) -> dict[str, Any]:
        """For `serialize`."""
        return {"jobs": self.jobs}

    def look(self, pfs: Pfs) -> dict[str, Any] | None:
        """See `look_for_ended_jobs`."""
        return look_for_ended_jobs(pfs, self.jobs)
