"""What a datum of an incremental pipeline wrote when it was processed before: where its next run begins.

The planner names the result record that holds it, so nothing is searched: one object is read, and neighbours of a set
were often recorded together.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from airflow_pachy.errors import Corrupt, ObjectNotFound
from airflow_pachy.worker.records import RecordFile

if TYPE_CHECKING:
    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.tree.entries import Entry
    from airflow_pachy.worker.plan import DatumPlan

KEPT_RECORDS = 4


class PreviousOutputs:
    """Reads previous outputs; the last few records stay in memory. Thread-safe."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._records: OrderedDict[str, RecordFile] = OrderedDict()

    def of(self, datum: DatumPlan) -> tuple[Entry, ...]:
        """The files that the datum begins with in /pfs/out; none for one that starts from scratch. Raises `Corrupt`."""
        if datum.previous is None:
            return ()
        before, record, row = datum.previous
        result = self._open(record).result(row)
        if result.datum != before or result.state != "success":
            raise Corrupt(f"{record} does not hold the output of datum {before} in row {row}: run `pachy fsck`")
        return result.outputs

    def _open(self, record: str) -> RecordFile:
        with self._lock:
            found = self._records.get(record)
            if found is None:
                found = self._records[record] = self._fetch(record)
                if len(self._records) > KEPT_RECORDS:
                    self._records.popitem(last=False)
            self._records.move_to_end(record)
            return found

    def _fetch(self, record: str) -> RecordFile:
        try:
            return RecordFile(self._store.get(record), record)
        except ObjectNotFound as error:
            raise Corrupt(
                f"the result record of an earlier job is gone ({error}): run the job again with `reprocess`, which "
                "starts every datum from scratch"
            ) from error
