"""What earlier attempts at a set have left to do.

A set is tried again for two reasons. Its pod was lost: then a new pod goes on where the records end, within the same
try of Airflow's task, and a datum's tries go on counting. Or somebody cleared the task: what failed is to run again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_pachy.worker.outcome import same_try
from airflow_pachy.worker.records import set_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.worker.plan import DatumPlan, SetPlan


@dataclass(frozen=True, slots=True)
class Earlier:
    """Datum ids: `done` need nothing more, `failed` have used their tries up, `suspects` have failed before that."""

    done: frozenset[str]
    failed: frozenset[str]
    suspects: frozenset[str]

    def todo(self, datums: Sequence[DatumPlan]) -> list[DatumPlan]:
        """What is left, in order, but suspects last: one that takes its pod down must not keep the others from it."""
        left = [datum for datum in datums if datum.id not in self.done and datum.id not in self.failed]
        return sorted(left, key=lambda datum: datum.id in self.suspects)


def read_earlier(store: ObjectStore, plan: SetPlan, attempt: str) -> Earlier:
    """Sort the set's datums by their records of all attempts before `attempt`. Raises store errors and `Corrupt`."""
    done: set[str] = set()
    tries: Counter[str] = Counter()
    for earlier, results in set_records(store, plan.results_prefix):
        for result in results:
            if result.state == "success":
                done.add(result.datum)
            elif same_try(earlier, attempt):
                if result.state == "recovered":
                    done.add(result.datum)
                tries[result.datum] += result.tries
    spent = frozenset(datum for datum, count in tries.items() if count >= plan.transform.datum_tries)
    return Earlier(frozenset(done), spent - done, frozenset(tries) - done)
