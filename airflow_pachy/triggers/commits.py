"""`PfsCommitTrigger`: new heads of a branch as asset events.

An event is a wake-up, not a queue: it says that the branch has moved, and the stage that it starts reads the
branch itself. So several commits between two looks give one event, with the newest; and an event may come
twice (after a crash between firing and remembering), never not at all.

A watcher that raises is restarted by Airflow every two seconds for ever, without a pause and without a sign in
the UI. All errors are therefore met inside, with growing pauses. On Airflow >= 3.3 all watchers of one connection
share one query, and what was seen last survives restarts in the asset state store; before, each watcher polls by
itself, and a restarted triggerer fires once for every branch that has a head.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.triggers.heads import Branch, Head, read_heads
from airflow_pachy.triggers.polling import Backoff, OpenPfs, Schedules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Hashable, Mapping

    from airflow_pachy.pfs import Pfs

log = logging.getLogger(__name__)

CURSOR = "pfs_head"
WATCH_SECONDS = 1.0
"""Between two looks at the heads: half of it is what a chain of DAGs waits at each link, for one small query."""

# The branches that watchers of this process ask for, by connection id: one query serves them all and reads no more.
_watched: dict[str, Counter[Branch]] = {}


class PfsCommitTrigger(BaseEventTrigger):
    """Fires `{repo, branch, commit}` whenever the head of `repo@branch` has moved, for ever.

    Watched for the first time, a branch that has a head fires at once: what is there already is to be processed.
    A repo or branch that does not exist yet is waited for. `poll_interval` is in seconds, by default that of
    `[pachy] poll_interval`.
    """

    def __init__(
        self,
        repo: str,
        branch: str = "master",
        pfs_conn_id: str = DEFAULT_CONNECTION,
        poll_interval: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's is untyped
        self.repo = repo
        self.branch = branch
        self.pfs_conn_id = pfs_conn_id
        self.poll_interval = poll_interval
        self._seen: Head | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and keyword arguments; they are the identity of the watcher, so defaults are left out."""
        kwargs: dict[str, Any] = {"repo": self.repo, "branch": self.branch, "pfs_conn_id": self.pfs_conn_id}
        if self.poll_interval is not None:
            kwargs["poll_interval"] = self.poll_interval
        return "airflow_pachy.triggers.commits.PfsCommitTrigger", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll for this watcher alone (Airflow < 3.3)."""
        target = (self.repo, self.branch)
        async for heads in poll_heads(self.pfs_conn_id, lambda: {target}, self.poll_interval):
            async for event in self._fire(heads.get(target)):
                yield event

    def shared_stream_key(self) -> Hashable | None:
        """Watchers of one connection and interval share one poll."""
        return ("airflow_pachy.PfsCommitTrigger", self.pfs_conn_id, self.poll_interval)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Any]:
        """The heads of all watched branches, again and again: a watcher that joins late misses nothing."""
        conn_id = kwargs["pfs_conn_id"]
        async for heads in poll_heads(conn_id, lambda: set(_watched.get(conn_id, ())), kwargs.get("poll_interval")):
            yield heads

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """This branch's part of the shared poll."""
        target = (self.repo, self.branch)
        watched = _watched.setdefault(self.pfs_conn_id, Counter())
        watched[target] += 1
        try:
            async for heads in shared_stream:
                async for event in self._fire(heads.get(target)):
                    yield event
        finally:
            watched[target] -= 1
            if not watched[target]:
                del watched[target]

    async def _fire(self, head: Head | None) -> AsyncIterator[TriggerEvent]:
        if head is None or head == self._seen:
            return
        if self._seen is None and head == await self._remembered():
            self._seen = head
            return
        # Fire, then remember: dying in between fires again. The other order would lose the event.
        payload = {"repo": self.repo, "branch": self.branch, "commit": head[1]}
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's is untyped
        self._seen = head
        await self._remember(head)

    async def _remembered(self) -> Head | None:
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return None
        try:
            value = await store.aget(CURSOR)
        except Exception as error:  # noqa: BLE001 - whatever the API client raises; a second event is harmless
            self.log.warning("The asset state store did not answer (%s): %s may fire once more", error, self.repo)
            return None
        return (value[0], value[1]) if isinstance(value, list) and len(value) == 2 else None

    async def _remember(self, head: Head) -> None:
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return
        try:
            await store.aset(CURSOR, list(head))
        except Exception as error:  # noqa: BLE001 - as above: after a restart the event comes again
            self.log.warning("The asset state store did not take the head of %s (%s)", self.repo, error)


async def poll_heads(
    pfs_conn_id: str, branches: Callable[[], Collection[Branch]], poll_interval: float | None
) -> AsyncIterator[Mapping[Branch, Head]]:
    """Read the heads of `branches()` at every interval, for ever; errors are logged and met with growing pauses.

    Before that, branches that follow others by a schedule are moved when their time has come.
    """
    seconds = poll_interval or _configured_interval()
    backoff = Backoff(seconds)
    schedules = Schedules()

    def look(pfs: Pfs) -> Mapping[Branch, Head]:
        schedules.tick(pfs)
        return read_heads(pfs.metadata, branches())

    async with OpenPfs(pfs_conn_id, pooled=True) as opened:
        while True:
            try:
                heads = await opened.call(look)
            except Exception as error:  # noqa: BLE001 - see the module's docstring
                pause = backoff.next_seconds()
                log.warning("Could not read the heads of branches (%s); trying again in %.0f s", error, pause)
                await asyncio.sleep(pause)
                continue
            backoff.reset()
            yield heads
            await asyncio.sleep(seconds)


def _configured_interval() -> float:
    from airflow_pachy.hooks.airflow_config import conf

    return float(conf.getfloat("pachy", "poll_interval", fallback=WATCH_SECONDS))
