"""Waiting for a datum set's pod in the triggerer.

Airflow's own trigger fires when the user's container ends. Our helper then still uploads and records, for seconds or
for an hour, and the resumed task would hold a worker slot while it waits for that. This one fires when both
have ended, or when there is nothing to wait for.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.triggers.base import TriggerEvent
from kubernetes_asyncio.client.exceptions import ApiException

from airflow_pachy.pods.watching import Finding, Limits, look, pause_seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOT_FOUND = 404


class DatumSetPodTrigger(KubernetesPodTrigger):
    """Fires with `{status, name, namespace, message, last_log_time, state}`; arguments are those of its base class.

    `status` is one of `airflow_pachy.pods.watching.End`, or `error` when the Kubernetes API cannot be asked.
    `trigger_kwargs` may have a `deadline` (Unix time) and the task's `state`, which comes back with the event.
    """

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and keyword arguments."""
        _, kwargs = super().serialize()
        return "airflow_pachy.triggers.pods.DatumSetPodTrigger", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the end of the pod."""
        try:
            finding = await self._wait()
            status, message = str(finding.end), finding.message
        except Exception as error:  # an error here would end the task without a look at the records
            self.log.exception("Pod %s cannot be watched", self.pod_name)
            status, message = "error", f"{type(error).__name__}: {error}"
        self._fired_event = True
        event = {
            "status": status,
            "name": self.pod_name,
            "namespace": self.pod_namespace,
            "message": message,
            "last_log_time": self.last_log_time,
            "state": self.trigger_kwargs.get("state", {}),
        }
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow's

    async def _wait(self) -> Finding:
        limits = Limits(
            self.schedule_timeout,
            self.startup_timeout,
            self.trigger_kwargs.get("deadline"),
            patient_pulls=self.trigger_kwargs.get("state", {}).get("patient_pulls", False),
        )
        logs_at = self._next_logs()
        while True:
            try:
                pod: Any = await self._get_pod()
            except ApiException as error:
                if error.status != NOT_FOUND:
                    raise
                pod = None
            if (finding := look(pod, limits, datetime.now(UTC))) is not None:
                return finding
            if logs_at is not None and datetime.now(UTC) >= logs_at:
                self.last_log_time = await self.pod_manager.fetch_container_logs_before_current_sec(
                    pod, container_name=self.base_container_name, since_time=self.last_log_time
                )
                logs_at = self._next_logs()
            pause = pause_seconds(pod, limits, datetime.now(UTC), self.poll_interval)
            if logs_at is not None:
                pause = min(pause, max(self.poll_interval, (logs_at - datetime.now(UTC)).total_seconds()))
            await asyncio.sleep(pause)

    def _next_logs(self) -> datetime | None:
        """When the task's log gets the next lines; by default only at the end."""
        if not (self.get_logs and self.logging_interval):
            return None
        return datetime.now(UTC) + timedelta(seconds=self.logging_interval)
