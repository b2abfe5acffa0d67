"""Airflow operators: datum pipelines, and single actions on the versioned file system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.lazy import exports

if TYPE_CHECKING:
    from airflow_pachy.operators.branches import PfsBranchOperator
    from airflow_pachy.operators.datum_map import DatumMapOperator
    from airflow_pachy.operators.egress import PfsEgressOperator
    from airflow_pachy.operators.feed import PfsFeedOperator
    from airflow_pachy.operators.files import PfsCopyOperator, PfsPutOperator
    from airflow_pachy.operators.gc import PfsGcOperator
    from airflow_pachy.operators.service import PfsServiceOperator
    from airflow_pachy.operators.spout import PfsSpoutOperator

_HOMES = {
    "DatumMapOperator": "datum_map",
    "PfsBranchOperator": "branches",
    "PfsCopyOperator": "files",
    "PfsEgressOperator": "egress",
    "PfsFeedOperator": "feed",
    "PfsGcOperator": "gc",
    "PfsPutOperator": "files",
    "PfsServiceOperator": "service",
    "PfsSpoutOperator": "spout",
}

__all__ = [
    "DatumMapOperator",
    "PfsBranchOperator",
    "PfsCopyOperator",
    "PfsEgressOperator",
    "PfsFeedOperator",
    "PfsGcOperator",
    "PfsPutOperator",
    "PfsServiceOperator",
    "PfsSpoutOperator",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
