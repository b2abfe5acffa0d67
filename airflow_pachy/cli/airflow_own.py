"""The Airflow that is installed and configured where the command runs: its database and its log reader, no server."""

from __future__ import annotations

import json
import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_pachy.cli.airflow import HOW_TO_REACH, NoAirflow, TaskTry, read_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_pachy.cli.airflow import LogLine


class OwnAirflow:
    """See `airflow_pachy.cli.airflow.Airflow`."""

    def tries(self, dag_id: str, run_id: str, task_id: str) -> list[TaskTry]:
        """See `Airflow.tries`."""
        with _session() as session:
            rows = [(one.map_index, one.try_number) for one in _instances(session, dag_id, run_id, task_id)]
        return sorted(
            TaskTry(dag_id, run_id, task_id, index, number) for index, last in rows for number in range(1, last + 1)
        )

    def read_log(self, one: TaskTry) -> Iterator[LogLine]:
        """See `Airflow.read_log`."""
        with _session() as session:
            from airflow.utils.log.log_reader import TaskLogReader

            instance = _try(session, one)
            if instance is None:
                return
            reader = TaskLogReader()
            if not reader.supports_read:
                raise NoAirflow("Airflow's task log handler cannot read logs ([logging] task_log_reader)")
            metadata: Any = {"download_logs": False}
            while True:
                stream, metadata = reader.read_log_chunks(instance, one.try_number, metadata)
                found = 0
                for message in stream:
                    found += 1
                    if (line := read_line(json.loads(message.model_dump_json()))) is not None:
                        yield line
                if metadata.get("end_of_log", False) or not found:
                    return

    def clear(self, dag_id: str, run_id: str, tasks: Sequence[tuple[str, int]]) -> int:
        """See `Airflow.clear`."""
        with _session() as session:
            from airflow.models.taskinstance import clear_task_instances

            wanted = set(tasks)
            names = sorted({task for task, _ in wanted})
            found = [one for name in names for one in _instances(session, dag_id, run_id, name)]
            found = [one for one in found if {(one.task_id, one.map_index), (one.task_id, -1)} & wanted]
            if found:
                clear_task_instances(found, session)
            return len(found)

    def trigger(self, dag_id: str, run_id: str | None, conf: Mapping[str, Any]) -> str:
        """See `Airflow.trigger`."""
        with _session():
            from airflow.api.client.local_client import Client
            from airflow.exceptions import DagRunAlreadyExists

            try:
                run = Client().trigger_dag(dag_id=dag_id, run_id=run_id, conf=dict(conf))
            except DagRunAlreadyExists:
                return run_id or ""
            return str(run["dag_run_id"]) if run else run_id or ""


@contextmanager
def _session() -> Iterator[Any]:
    """A session of Airflow's database. Raises `NoAirflow` with what Airflow says when it cannot be used."""
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("airflow").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from airflow.utils.session import create_session

            from airflow_pachy.hooks.airflow_errors import AirflowException
    except Exception as error:  # whatever a broken installation or configuration raises
        raise NoAirflow(f"Airflow is installed but does not start ({error}); {HOW_TO_REACH}") from error
    try:
        with create_session() as session:
            yield session
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", error))
        raise NoAirflow(
            f"the database of the Airflow configured here does not answer ({said}); {HOW_TO_REACH}"
        ) from error
    except AirflowException as error:
        raise NoAirflow(f"Airflow says: {error}") from error


def _instances(session: Any, dag_id: str, run_id: str, task_id: str) -> list[Any]:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    where = (TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id, TaskInstance.task_id == task_id)
    return list(session.scalars(select(TaskInstance).where(*where)))


def _try(session: Any, one: TaskTry) -> Any:
    """The row that Airflow's log reader wants: that of the try itself, or of the instance when it is the latest."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from sqlalchemy import select
    from sqlalchemy.orm import joinedload

    for model in (TaskInstance, TaskInstanceHistory):
        where = [getattr(model, name) == getattr(one, name) for name in TaskTry.__dataclass_fields__]
        query = select(model).where(*where).options(joinedload(model.dag_run))
        if (found := session.scalars(query).first()) is not None:
            return found
    return None
