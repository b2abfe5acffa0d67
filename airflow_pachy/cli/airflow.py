"""Airflow as commands see it: start runs, run tasks again, read their logs.

There are two ways to it. With `PACHY_AIRFLOW_URL` it is Airflow's REST API, from anywhere. Without, it is the Airflow
that is installed and configured where the command runs. Both offer the same, as `Airflow`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from airflow_pachy.errors import PachyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

URL_VARIABLE = "PACHY_AIRFLOW_URL"
HOW_TO_REACH = (
    f"set {URL_VARIABLE} to the address of Airflow's API server, and PACHY_AIRFLOW_TOKEN, or PACHY_AIRFLOW_USER and "
    "PACHY_AIRFLOW_PASSWORD; or run the command where Airflow is installed and configured"
)


class NoAirflow(PachyError):
    """There is no Airflow to ask, or it does not answer."""


@dataclass(frozen=True, slots=True, order=True)
class TaskTry:
    """One try of a task instance; `map_index` is -1 for tasks that are not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a task's log. `moment` and `level` are missing where Airflow could not tell them."""

    text: str
    moment: datetime | None = None
    level: str | None = None


class Airflow(Protocol):
    """What commands ask of Airflow. Every method raises `NoAirflow` when it does not answer or refuses."""

    def tries(self, dag_id: str, run_id: str, task_id: str) -> list[TaskTry]:
        """All tries of a task in a run that have begun, by map index and try; none for a run that is gone."""
        ...

    def read_log(self, one: TaskTry) -> Iterator[LogLine]:
        """The log of a try as far as it is written; nothing when Airflow has it no more."""
        ...

    def clear(self, dag_id: str, run_id: str, tasks: Sequence[tuple[str, int]]) -> int:
        """Have task instances, by task id and map index (-1: all), run again, also running ones; returns how many."""
        ...

    def trigger(self, dag_id: str, run_id: str | None, conf: Mapping[str, Any]) -> str:
        """Start a run and return its id. A run of that id that exists already is left as it is."""
        ...


def find_airflow() -> Airflow:
    """The way to Airflow from here. Raises `NoAirflow` when there is none."""
    url = os.environ.get(URL_VARIABLE)
    if url:
        from airflow_pachy.cli.airflow_rest import RestAirflow

        return RestAirflow(url)
    from importlib.util import find_spec

    if find_spec("airflow") is None or find_spec("airflow.models") is None:
        raise NoAirflow(f"there is no Airflow here; {HOW_TO_REACH}")
    from airflow_pachy.cli.airflow_own import OwnAirflow

    return OwnAirflow()


def read_line(document: Mapping[str, Any]) -> LogLine | None:
    """A line as Airflow's log reader gives it, one JSON object; None for what is about the log and not of it."""
    text = document.get("event")
    if text is None:
        return None
    stamp = document.get("timestamp")
    moment = datetime.fromisoformat(stamp) if isinstance(stamp, str) and stamp else None
    level = document.get("level")
    return LogLine(str(text), moment, str(level) if level else None)
