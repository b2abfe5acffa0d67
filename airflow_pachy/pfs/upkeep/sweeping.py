"""Finding what is not marked, and deleting it.

The list of the condemned is in the bucket before the first of them is gone, so that what happened can be told
afterwards, also when the run is killed. The next run finds by itself what such a run has left.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from airflow_pachy.errors import Corrupt
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Delta, StoredObject
from airflow_pachy.pfs.upkeep.ledger import State
from airflow_pachy.pfs.upkeep.report import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.pfs.objects.store import ObjectInfo, ObjectStore
    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.upkeep.ledger import Ledger
    from airflow_pachy.pfs.upkeep.marking import Progress
    from airflow_pachy.pfs.upkeep.report import Fate

LISTS = "gc/"
KINDS = ("commits", "deltas", "jobs", "nodes", "packs", "probe", "refs", "spouts")
_LIST_PAGE = 20_000
_BATCH = 1000
_IN = 500
KEEP_LISTS = timedelta(days=90)


@dataclass(slots=True)
class Survey:
    """What was found in the bucket."""

    usage: dict[tuple[str, str, Fate], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    dead_bytes: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    foreign: int = 0

    def add(self, info: ObjectInfo, kind: str, fate: Fate, repo: str) -> None:
        """Count one object."""
        counts = self.usage[repo, kind, fate]
        counts[0] += 1
        counts[1] += info.size_bytes
        if fate == "condemned":
            self.oldest = min(self.oldest or info.modified, info.modified)
            self.newest = max(self.newest or info.modified, info.modified)

    def rows(self) -> tuple[Usage, ...]:
        """The counts, sorted."""
        found = sorted(self.usage.items())
        return tuple(Usage(repo, kind, fate, *counts) for (repo, kind, fate), counts in found)


def survey(store: ObjectStore, ledger: Ledger, now: datetime, grace: timedelta, progress: Progress) -> Survey:
    """List everything and condemn what is neither marked nor young. Raises `Corrupt` if something needed is missing."""
    result = Survey()
    stays = 0
    for info in store.list_keys():
        progress("list", 1)
        kind = info.key.partition("/")[0]
        if info.key.startswith(LISTS):
            if info.modified < now - KEEP_LISTS:
                ledger.condemn(info)
                result.add(info, "gc", "condemned", "")
            continue
        if kind not in KINDS:
            result.foreign += info.key != "format.json"
            continue
        stays += kind == "packs" and _judge(info, kind, ledger, now - grace, result)
        if kind != "packs":
            _judge(info, kind, ledger, now - grace, result)
    needed = sum(1 for _ in ledger.marked("packs/"))
    if needed != stays:
        _report_missing(store, ledger)
    return result


def _judge(info: ObjectInfo, kind: str, ledger: Ledger, young_since: datetime, result: Survey) -> bool:
    """Whether the object is marked."""
    state, owner = ledger.state(info.key) or (None, "")
    if state is State.LIVE or state is State.WAITING:
        result.add(info, kind, "live" if state is State.LIVE else "waiting", owner)
        if kind == "packs":
            result.dead_bytes += max(0, info.size_bytes - ledger.live_bytes(info.key))
        return True
    # What is as old as the limit is condemned: with a grace of 0, everything that was there when the run began.
    if info.modified > young_since:
        result.add(info, kind, "young", owner)
        return False
    ledger.condemn(info)
    result.add(info, kind, "condemned", owner)
    return False


def _report_missing(store: ObjectStore, ledger: Ledger) -> None:
    there = {info.key for info in store.list_keys("packs/")}
    missing = [key for key in ledger.marked("packs/") if key not in there]
    if missing:
        raise Corrupt(
            f"{len(missing)} packs that commits need are not in {store.url}, such as {missing[0]}; nothing was "
            "deleted. `pachy fsck` tells whose they are: restore them from a backup, or forget or delete these commits"
        )


def write_lists(store: ObjectStore, ledger: Ledger, run: str) -> int:
    """Put the list of the condemned into the bucket; returns in how many parts."""
    parts = 0
    for page in ledger.condemned(_LIST_PAGE):
        parts += 1
        lines = [json.dumps({"key": one.key, "size": one.size_bytes, "modified": one.modified}) for one in page]
        store.put(f"{LISTS}{run}/condemned-{parts:06d}.jsonl", "\n".join(lines).encode(), if_absent=True)
    return parts


def pardon_used(root: Root, ledger: Ledger, cutoff: datetime) -> None:
    """Let go of the rows that offer condemned packs to writers, or of the packs, if somebody took one meanwhile.

    A row is used or deleted, never both: a writer updates it in the transaction in which it finds it.
    """
    for page in ledger.condemned(_IN, "packs/"):
        ledger.pardon(_withdraw(root, [one.key for one in page], cutoff))
    for page in ledger.condemned(_IN, "deltas/"):
        _forget_batches(root, [one.key for one in page])


@retried
def _withdraw(root: Root, packs: Sequence[str], cutoff: datetime) -> Sequence[str]:
    """Offer no more what nobody took since; returns the packs that somebody did take from."""
    with root.metadata.session() as session:
        offered = StoredObject.object.in_(packs)
        session.execute(delete(StoredObject).where(offered, StoredObject.used <= cutoff))
        return session.scalars(select(StoredObject.object).where(offered).distinct()).all()


@retried
def _forget_batches(root: Root, keys: Sequence[str]) -> None:
    with root.metadata.session() as session:
        session.execute(delete(Delta).where(Delta.key.in_(keys)))


def delete_condemned(store: ObjectStore, ledger: Ledger, progress: Progress) -> tuple[int, int]:
    """Delete what is left on the list; returns how many objects and bytes."""
    objects = size = 0
    for page in ledger.condemned(_BATCH):
        store.delete([one.key for one in page])
        objects += len(page)
        size += sum(one.size_bytes for one in page)
        progress("delete", len(page))
    return objects, size
