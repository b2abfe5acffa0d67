"""Airflow sensors: wait for commits, files and jobs; deferrable, or poking from a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.lazy import exports

if TYPE_CHECKING:
    from airflow_pachy.sensors.commits import PfsCommitSensor
    from airflow_pachy.sensors.files import PfsFileSensor
    from airflow_pachy.sensors.jobs import PfsJobSensor

_HOMES = {"PfsCommitSensor": "commits", "PfsFileSensor": "files", "PfsJobSensor": "jobs"}

__all__ = ["PfsCommitSensor", "PfsFileSensor", "PfsJobSensor"]

__getattr__, __dir__ = exports(__name__, _HOMES)
