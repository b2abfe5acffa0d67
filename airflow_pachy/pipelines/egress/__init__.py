"""Egress: copying a finished commit out of the versioned file system, to where other systems look for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.lazy import exports

if TYPE_CHECKING:
    from airflow_pachy.pipelines.egress.run import EgressReport, egress_commit
    from airflow_pachy.pipelines.egress.target import EgressTarget, parse_egress

_HOMES = {
    "EgressReport": "run",
    "EgressTarget": "target",
    "egress_commit": "run",
    "parse_egress": "target",
}

__all__ = ["EgressReport", "EgressTarget", "egress_commit", "parse_egress"]

__getattr__, __dir__ = exports(__name__, _HOMES)
