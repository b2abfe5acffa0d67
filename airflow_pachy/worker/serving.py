"""The init container of a service's pod: it puts the one datum's files under /pfs and ends.

Kubernetes runs it again when the pod is restarted on its node, with what the volume held then, so it begins by
clearing up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.content import ContentReader
from airflow_pachy.worker.disk import CONTROL, OUT, remove_tree
from airflow_pachy.worker.staging import InputTrees, Stager

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.worker.plan import SetPlan

STDIN = "stdin"
"""Under /pfs/.pfs: what the command reads."""


def stage_service(store: ObjectStore, plan: SetPlan, pfs: Path, budget_bytes: int) -> int:
    """Put the plan's datum and its standard input under `pfs`; returns how many bytes that were.

    Raises `UnfitDatum`, `Corrupt`, OSError, and store errors.
    """
    if len(plan.datums) != 1:
        raise Corrupt(f"a service is made for one datum, and its plan has {len(plan.datums)}")
    (datum,) = plan.datums
    for present in pfs.iterdir():
        if present.name != CONTROL:
            remove_tree(present)
    own = pfs / CONTROL
    staging = own / "stage" / "service"
    remove_tree(staging)
    stager = Stager(InputTrees(store), ContentReader(store), budget_bytes)
    staged = stager.stage(datum, staging, stager.size_bytes(datum))
    for name in (*staged.names, OUT):
        (staging / name).rename(pfs / name)
    staging.rmdir()
    lines = "".join(f"{line}\n" for line in plan.transform.stdin)
    (own / STDIN).write_bytes(lines.encode("utf-8", "surrogateescape"))
    return staged.bytes
