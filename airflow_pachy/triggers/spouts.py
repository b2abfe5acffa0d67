"""Looking after a spout in the triggerer: committing what it writes, and seeing how its pod is.

Commits are made here, in a thread, and not by resuming the task: that would cost a worker and some seconds for each of
them. A triggerer that dies is replaced, and whoever comes second finds nothing left to commit.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_pachy.errors import BranchMoved, PachyError, PipelineNotFound, PipelineStopped, Unavailable
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.triggers.polling import Backoff, OpenPfs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pods.rollout import Rollout

POD_SECONDS = 10.0
WHOLE_SECONDS = 600.0
AT_ONCE = 20
"""Commits between two looks at whether the pipeline was stopped."""


class PfsSpoutTrigger(BaseTrigger):
    """Fires with `{status, message, pipeline, committed}` when there is something to do that a task must do.

    `stopped`, `deleted`, `updated` (another version was registered), `gone` (the Deployment was deleted), `failed` (a
    batch cannot be committed), `done` (`until`, Unix time, is over). With a `version` of None the pipeline is
    stopped, and the event is `started`. `access` has keyword arguments of `AsyncKubernetesHook`.
    """

    def __init__(
        self,
        *,
        pipeline: str,
        version: int | None,
        name: str,
        namespace: str,
        access: Mapping[str, Any],
        until: float,
        committed: int = 0,
        pfs_conn_id: str = DEFAULT_CONNECTION,
        poll_interval: float = 3.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's is untyped
        self.pipeline = pipeline
        self.version = version
        self.name = name
        self.namespace = namespace
        self.access = access
        self.until = until
        self.committed = committed
        self.pfs_conn_id = pfs_conn_id
        self.poll_interval = poll_interval
        self._clock = clock

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and keyword arguments."""
        kwargs = {
            "pipeline": self.pipeline,
            "version": self.version,
            "name": self.name,
            "namespace": self.namespace,
            "access": dict(self.access),
            "until": self.until,
            "committed": self.committed,
            "pfs_conn_id": self.pfs_conn_id,
            "poll_interval": self.poll_interval,
        }
        return "airflow_pachy.triggers.spouts.PfsSpoutTrigger", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look after it."""
        status, message = await self._look_after()
        event = {"status": status, "message": message, "pipeline": self.pipeline, "committed": self.committed}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow's is untyped

    async def _look_after(self) -> tuple[str, str]:
        from airflow_pachy.triggers.rollout import DeploymentWatch

        watch = DeploymentWatch(self.name, self.namespace, self.access)
        backoff = Backoff(self.poll_interval)
        pod_at = whole_at = 0.0
        async with OpenPfs(self.pfs_conn_id, pooled=True) as opened:
            while self._clock() < self.until:
                whole = self._clock() >= whole_at
                try:
                    ended = await opened.call(partial(self._tend, whole=whole))
                    if ended is not None:
                        return ended
                    backoff.reset()
                    whole_at = self._clock() + WHOLE_SECONDS if whole else whole_at
                    if self.version is not None and self._clock() >= pod_at:
                        pod_at = self._clock() + POD_SECONDS
                        found = await self._look_at_pod(watch)
                        if found is not None:
                            if found.progress == "gone":
                                return "gone", f"Deployment {self.name}: {found.message}"
                            await opened.call(partial(self._note, found=found))
                except (Unavailable, BranchMoved) as error:
                    pause = backoff.next_seconds()
                    self.log.warning("Could not commit (%s); trying again in %.0f s", error, pause)
                    await asyncio.sleep(pause)
                    continue
                except PachyError as error:
                    return "failed", f"what spout {self.pipeline!r} has written cannot be committed: {error}"
                await asyncio.sleep(self.poll_interval)
        return "done", f"looked after spout {self.pipeline!r} for long enough; the next run goes on"

    def _tend(self, pfs: Pfs, *, whole: bool) -> tuple[str, str] | None:
        """Commit what waits; what has ended this trigger's work, if something has."""
        from airflow_pachy.pipelines.spouts import commit_waiting, find_spout

        try:
            spout = find_spout(pfs, self.pipeline)
            if self.version is None:
                return "started", f"pipeline {self.pipeline!r} was started"
            if spout.version != self.version:
                return "updated", f"pipeline {self.pipeline!r} is in version {spout.version} now"
            while True:
                made = commit_waiting(pfs, spout, whole=whole, limit=AT_ONCE)
                for commit in made:
                    self.log.info("Commit %s on %s", commit, spout.output)
                self.committed += len(made)
                if len(made) < AT_ONCE:
                    return None
        except PipelineStopped as stopped:
            return None if self.version is None else ("stopped", str(stopped))
        except PipelineNotFound as gone:
            return "deleted", str(gone)

    async def _look_at_pod(self, watch: Any) -> Rollout | None:
        try:
            found: Rollout = await watch.look()
        except Exception as error:  # noqa: BLE001 - the API may be away for a while, and commits go on without it
            self.log.warning("Deployment %s cannot be looked at: %s", self.name, error)
            return None
        return found

    def _note(self, pfs: Pfs, found: Rollout) -> None:
        """Have `pachy inspect pipeline` show how the pod is, and the log when that changes."""
        from airflow_pachy.pipelines.standing import FAILED, ROLLING, RUNNING, find_standing, note_state

        state = {"ready": RUNNING, "failed": FAILED}.get(str(found.progress), ROLLING)
        before = find_standing(pfs, self.pipeline)
        if before is not None and (before.state, before.message) != (state, found.message):
            self.log.info("Deployment %s is %s%s", self.name, state, f": {found.message}" if found.message else "")
            note_state(pfs, self.pipeline, state, found.message)
