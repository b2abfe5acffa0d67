"""Airflow triggers: new commits as events, and waiting without holding a worker slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.lazy import exports

if TYPE_CHECKING:
    from airflow_pachy.triggers.commits import PfsCommitTrigger
    from airflow_pachy.triggers.conditions import PfsCommitStateTrigger, PfsFileTrigger, PfsJobTrigger

_HOMES = {
    "PfsCommitStateTrigger": "conditions",
    "PfsCommitTrigger": "commits",
    "PfsFileTrigger": "conditions",
    "PfsJobTrigger": "conditions",
}

__all__ = ["PfsCommitStateTrigger", "PfsCommitTrigger", "PfsFileTrigger", "PfsJobTrigger"]

__getattr__, __dir__ = exports(__name__, _HOMES)
