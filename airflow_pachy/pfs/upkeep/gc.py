"""Garbage collection: mark what is needed, then delete the rest, while writers go on.

Why no writer loses anything, given that whatever takes one object on trust publishes within `grace`:

* What a writer has uploaded is younger than `grace`, by the store's clock, and so never condemned.
* What it refers to of older commits was in the database when it looked. It is marked because it still is, or because
  it was removed less than `grace` ago (`RemovedTree`).
* What it did not upload because `pachy_object` knows it is marked since it was used less than `grace` ago; or the
  row was deleted before the object, and the writer did not find it.

So two runs at once, or a run that is killed, do no harm either: whatever one condemns stays unreachable for ever.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

from sqlalchemy import delete

from airflow_pachy.errors import Conflict, InvalidArgument
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import RemovedTree
from airflow_pachy.pfs.objects import new_ulid
from airflow_pachy.pfs.upkeep import sweeping
from airflow_pachy.pfs.upkeep.belonging import strangers
from airflow_pachy.pfs.upkeep.clock import store_now
from airflow_pachy.pfs.upkeep.expiry import expire_commits, idle_commits
from airflow_pachy.pfs.upkeep.keepers import all_keepers, require_claimed
from airflow_pachy.pfs.upkeep.ledger import Ledger, State
from airflow_pachy.pfs.upkeep.marking import Marker, silent
from airflow_pachy.pfs.upkeep.report import GcReport
from airflow_pachy.pfs.upkeep.retention import Retention, forget_outdated, outdated
from airflow_pachy.pfs.upkeep.roots import mark_commits, mark_given_up, mark_removed, mark_waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.upkeep.keepers import Keeper
    from airflow_pachy.pfs.upkeep.marking import Progress
    from airflow_pachy.pfs.upkeep.sweeping import Survey

GRACE = timedelta(days=7)
MAX_AGE = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Collection:
    """One run. `max_age` is how long open commits and jobs may give no sign of life; `force` trusts the database."""

    root: Root
    dry_run: bool = True
    grace: timedelta = GRACE
    max_age: timedelta = MAX_AGE
    retention: Retention = field(default_factory=Retention)
    keepers: Sequence[Keeper] = ()
    force: bool = False
    progress: Progress = silent

    def __post_init__(self) -> None:
        if self.grace < timedelta(0) or self.max_age < timedelta(0):
            raise InvalidArgument(f"grace ({self.grace}) and max_age ({self.max_age}) must not be negative")

    def run(self) -> GcReport:
        """Collect.

        Deletes nothing and raises `Corrupt` when something that is needed cannot be read, `Conflict` when the database
        cannot be the one of this bucket.
        """
        root, keepers = self.root, all_keepers(self.keepers)
        with root.metadata.reader() as session:
            require_claimed(session, keepers)
        now = store_now(root.store)
        if not self.force:
            self._require_own_database(now)
        # Jobs first: what they read may be forgotten once they are over.
        jobs = tuple(chain.from_iterable(one.expire(root, now - self.max_age, dry_run=self.dry_run) for one in keepers))
        given_up = outdated(root, self.retention, now)
        if self.dry_run:
            expired = idle_commits(root, now - self.max_age)
            forgotten = tuple(f"{repo}@{one}" for one, repo in given_up.items())
        else:
            expired = expire_commits(root, now - self.max_age)
            forgotten = forget_outdated(root, given_up, self.retention, now)
        # Without grace nothing else may be going on, and what was removed a moment ago is as dead as the rest. Else two
        # clocks must agree that the time is over: removals are stamped by those who remove.
        cutoff = min(now, datetime.now(UTC)) - self.grace if self.grace else datetime.now(UTC)
        with Ledger() as ledger, Marker(root.store, ledger, self.progress) as marker:
            self._mark(marker, keepers, cutoff, given_up if self.dry_run else {})
            found = sweeping.survey(root.store, ledger, now, self.grace, self.progress)
            report = replace(self._report(now, found, expired, forgotten), expired_jobs=jobs)
            if not self.dry_run:
                self._sweep(report, marker, ledger, keepers, cutoff)
        return report

    def _require_own_database(self, now: datetime) -> None:
        for what, key in strangers(self.root, now):
            raise Conflict(
                f"{self.root.store.url}/{key} is the copy of {what}: is {self.root.metadata.url} the database of this "
                "bucket, and no old backup of it? Nothing was deleted. `pachy fsck` lists such copies, `pachy fsck "
                "--rebuild` makes the right database; if it is the right one, collect with force"
            )

    def _mark(self, marker: Marker, keepers: Sequence[Keeper], cutoff: datetime, given_up: dict[str, str]) -> None:
        mark_commits(self.root, marker, cutoff, given_up)
        for keeper in keepers:
            keeper.mark(self.root, marker, cutoff)
        mark_given_up(self.root, marker, given_up, State.WAITING if self.grace else State.REMOVED)
        mark_waiting(self.root, marker, cutoff)
        mark_removed(self.root, marker, cutoff)

    def _sweep(
        self, report: GcReport, marker: Marker, ledger: Ledger, keepers: Sequence[Keeper], cutoff: datetime
    ) -> None:
        root, name = self.root, f"{sweeping.LISTS}{report.run}"
        parts = sweeping.write_lists(root.store, ledger, report.run)
        # By the argument above this finds nothing; a writer that broke the rule is caught here while it can be helped.
        with marker.as_of(State.LIVE):
            mark_commits(root, marker, cutoff)
            for keeper in keepers:
                keeper.mark(root, marker, cutoff)
            mark_waiting(root, marker, cutoff)
        ledger.pardon_marked()
        sweeping.pardon_used(root, ledger, cutoff)
        objects, size = sweeping.delete_condemned(root.store, ledger, self.progress)
        _forget_removed(root, cutoff)
        if parts:
            done = {"deleted_objects": objects, "deleted_bytes": size, **asdict(report)}
            root.store.put(f"{name}/done.json", json.dumps(done, default=str, indent=1).encode())

    def _report(self, now: datetime, found: Survey, expired: tuple[str, ...], forgotten: tuple[str, ...]) -> GcReport:
        return GcReport(
            run=new_ulid(),
            dry_run=self.dry_run,
            started=now,
            grace=self.grace,
            usage=found.rows(),
            dead_bytes=found.dead_bytes,
            oldest=found.oldest,
            newest=found.newest,
            forgotten=forgotten,
            expired=expired,
            foreign_objects=found.foreign,
        )


@retried
def _forget_removed(root: Root, cutoff: datetime) -> None:
    with root.metadata.session() as session:
        session.execute(delete(RemovedTree).where(RemovedTree.removed <= cutoff))
