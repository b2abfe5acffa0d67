"""`PfsJobSensor`: wait for a job of another DAG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_pachy.hooks.airflow_errors import AirflowFailException
from airflow_pachy.sensors.waiting import WaitingSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.pfs import Pfs
    from airflow_pachy.triggers.polling import PollingTrigger


class PfsJobSensor(WaitingSensor):
    """Waits until a job has published; fails when it failed or was stopped. XCom: `{"job", "state"}`."""

    template_fields: Sequence[str] = ("job_id",)

    def __init__(self, *, job_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id

    def look(self, pfs: Pfs) -> dict[str, Any] | None:
        """See `look_for_ended_jobs`."""
        from airflow_pachy.triggers.conditions import look_for_ended_jobs

        return look_for_ended_jobs(pfs, [self.job_id])

    def make_trigger(self) -> PollingTrigger:
        """See `PfsJobTrigger`."""
        from airflow_pachy.triggers.conditions import PfsJobTrigger

        return PfsJobTrigger(jobs=[self.job_id], pfs_conn_id=self.pfs_conn_id, poll_interval=self.poke_interval)

    def accept(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Fail for a job that has not published."""
        ((job, state),) = answer["jobs"].items()
        if state != "success":
            raise AirflowFailException(f"job {job} ended in state {state!r}; see: pachy inspect job {job}")
        return {"job": job, "state": state}
