"""Looking again and again without blocking the triggerer: the loop that our triggers share.

The metadata database is read in a thread, because a triggerer runs hundreds of triggers on one event loop. A look
that fails is logged and tried again with growing pauses: a database that is away for a minute must not fail every
task that waits. What no waiting mends (a missing repo) ends the trigger with an error event.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_pachy.errors import PachyError, Unavailable
from airflow_pachy.hooks.pfs import PfsHook
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow_pachy.pfs import Pfs

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

POLL_SECONDS = 2.0
MAX_BACKOFF_SECONDS = 60.0


@dataclass(slots=True)
class Backoff:
    """Pauses between failing looks: doubled each time up to a minute, with jitter so that triggers spread out."""

    first_seconds: float
    failures: int = 0

    def next_seconds(self) -> float:
        """The pause after one more failure."""
        pause = min(MAX_BACKOFF_SECONDS, self.first_seconds * 2.0**self.failures)
        self.failures += 1
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def reset(self) -> None:
        """After a look that succeeded."""
        self.failures = 0


@dataclass(slots=True)
class Schedules:
    """Keeps the schedules of branches (`pfs.tick_triggers`) while something polls: once in each minute, like cron."""

    _minute: int = -1

    def tick(self, pfs: Pfs, now: datetime | None = None) -> None:
        """Move the branches whose time has come. Whoever polls goes on when that fails; the next minute tries again."""
        moment = now or datetime.now(UTC)
        minute = int(moment.timestamp() // 60)
        if minute == self._minute:
            return
        self._minute = minute
        try:
            moved = pfs.tick_triggers(moment)
        except Exception as error:  # noqa: BLE001 - whoever watches other branches must not go blind for it
            log.warning("Could not move the branches whose schedule has come (%s); trying again in a minute", error)
            return
        for branch in moved:
            log.info("Moved %s to commit %s, as its trigger's schedule says", branch, branch.head)


class PollingTrigger(BaseTrigger):
    """Fires once, when `look` answers something else than None.

    The event's payload is `{"status": "done", **answer}`, or `{"status": "error", "message": ...}` when waiting on
    cannot help. Subclasses add keyword arguments and `arguments()`, which repeats them.
    """

    def __init__(self, *, pfs_conn_id: str = DEFAULT_CONNECTION, poll_interval: float = POLL_SECONDS) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's is untyped
        self.pfs_conn_id = pfs_conn_id
        self.poll_interval = poll_interval

    def look(self, pfs: Pfs) -> dict[str, Any] | None:
        """Answer, or None to look again later. Runs in a thread; may raise any `PachyError`."""
        raise NotImplementedError

    def arguments(self) -> dict[str, Any]:
        """The subclass's own keyword arguments, JSON only."""
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and keyword arguments, for Airflow's database."""
        kwargs = {"pfs_conn_id": self.pfs_conn_id, "poll_interval": self.poll_interval, **self.arguments()}
        return f"{type(self).__module__}.{type(self).__qualname__}", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is an answer."""
        yield TriggerEvent(await self._answer())  # type: ignore[no-untyped-call]  # Airflow's is untyped

    async def _answer(self) -> dict[str, Any]:
        backoff = Backoff(self.poll_interval)
        async with OpenPfs(self.pfs_conn_id) as opened:
            while True:
                try:
                    answer = await opened.call(self.look)
                except PachyError as error:
                    if not isinstance(error, Unavailable):
                        return {"status": "error", "message": str(error)}
                    pause = backoff.next_seconds()
                    self.log.warning("Could not look (%s); looking again in %.0f s", error, pause)
                    await asyncio.sleep(pause)
                    continue
                if answer is not None:
                    return {"status": "done", **answer}
                backoff.reset()
                await asyncio.sleep(self.poll_interval)


class OpenPfs:
    """A client for code on an event loop: opened when first used, again after an error, closed in the end."""

    def __init__(self, pfs_conn_id: str, *, pooled: bool = False) -> None:
        self._hook = PfsHook(pfs_conn_id)
        self._pooled = pooled
        self._pfs: Pfs | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def call(self, function: Callable[[Pfs], Answer]) -> Answer:
        """Run `function` on the client in a thread; after an error the client is opened anew the next time."""
        try:
            if self._pfs is None:
                await self._hook.load_settings()
                self._pfs = await asyncio.to_thread(self._hook.get_conn, pooled=self._pooled)
            return await asyncio.to_thread(function, self._pfs)
        except BaseException:
            await self._close()
            raise

    async def _close(self) -> None:
        pfs, self._pfs = self._pfs, None
        if pfs is not None:
            await asyncio.to_thread(pfs.close)
