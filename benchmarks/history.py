"""A branch with a long history: is the 10,001st commit slower than the 11th?

One file of a hundred is replaced in each commit, in one process, on a store in memory and SQLite on disk: what is
measured is our own work and the number of requests, not the network's.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.measure import report

if TYPE_CHECKING:
    from airflow_pachy.pfs import Pfs

BRANCH = "bench@master"
SAMPLE = 10


def main(operation: str, arguments: dict[str, Any]) -> None:
    """In the measured process: medians of the `SAMPLE` commits from each of the wanted numbers on."""
    from airflow_pachy.metadata import Metadata
    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pfs.content import ContentReader
    from airflow_pachy.pfs.objects import CountingStore, MemoryStore
    from airflow_pachy.pfs.root import Root

    del operation
    wanted: list[int] = arguments["at"]
    store = CountingStore(MemoryStore())
    metadata = Metadata.open(arguments["metadata"])
    metadata.ensure_ready()
    found: dict[str, dict[str, float]] = {}
    with Pfs(Root(store, metadata, ContentReader(store))) as pfs:
        pfs.create_repo("bench")
        number = 0
        for first in wanted:
            while number < first - 1:
                number = _commit(pfs, number)
            samples = []
            for _ in range(SAMPLE):
                before = store.counts.total, time.process_time(), time.perf_counter()
                number = _commit(pfs, number)
                samples.append(
                    (
                        time.perf_counter() - before[2],
                        time.process_time() - before[1],
                        store.counts.total - before[0],
                    )
                )
            seconds, cpu_seconds, requests = (statistics.median(values) for values in zip(*samples, strict=True))
            found[f"commit {first:,}"] = {"seconds": seconds, "cpu_seconds": cpu_seconds, "requests": requests}
        started = time.perf_counter(), time.process_time(), store.counts.total
        assert sum(1 for _ in pfs.list_commits(BRANCH, limit=20)) == 20
        found["list the newest 20"] = {
            "seconds": time.perf_counter() - started[0],
            "cpu_seconds": time.process_time() - started[1],
            "requests": store.counts.total - started[2],
        }
    report(0.0, found=found)  # the whole is of no interest


def _commit(pfs: Pfs, number: int) -> int:
    pfs.put_file(f"{BRANCH}:/{number % 100:02d}.txt", f"version {number}")
    return number + 1


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
