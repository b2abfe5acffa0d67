"""Waiting in the triggerer for a Deployment's new pod: no worker slot is taken while images and files travel."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
from airflow.triggers.base import BaseTrigger, TriggerEvent
from kubernetes_asyncio import client as async_client
from kubernetes_asyncio.client.exceptions import ApiException

from airflow_pachy.pods.rollout import Progress, Rollout, look_at_rollout
from airflow_pachy.pods.standing import STANDING_LABEL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

NOT_FOUND = 404
MAX_API_ERRORS = 10


class DeploymentWatch:
    """Looks at one Deployment through the asynchronous client.

    `access` has the keyword arguments of `AsyncKubernetesHook` that say where the cluster is.
    """

    def __init__(self, name: str, namespace: str, access: Mapping[str, Any]) -> None:
        self._name = name
        self._namespace = namespace
        self._access = access

    @cached_property
    def _hook(self) -> AsyncKubernetesHook:
        return AsyncKubernetesHook(**self._access)

    async def look(self) -> Rollout:
        """How it is getting on. Raises the client's `ApiException`."""
        async with self._hook.get_conn() as connection:
            apps, core = async_client.AppsV1Api(connection), async_client.CoreV1Api(connection)
            try:
                found = await apps.read_namespaced_deployment(self._name, self._namespace)
            except ApiException as error:
                if error.status != NOT_FOUND:
                    raise
                found = None
            selector = f"{STANDING_LABEL}={self._name}"
            pods = await core.list_namespaced_pod(self._namespace, label_selector=selector)
            return look_at_rollout(found, pods.items)


class RolloutTrigger(BaseTrigger):
    """Fires with `{status, message, state}` when a rollout has ended: `ready`, `failed` or `gone`.

    `error` when the Kubernetes API cannot be asked. `state` comes back with the event.
    """

    def __init__(
        self,
        *,
        name: str,
        namespace: str,
        access: Mapping[str, Any],
        poll_interval: float = 2.0,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's is untyped
        self.name = name
        self.namespace = namespace
        self.access = access
        self.poll_interval = poll_interval
        self.state = state or {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and keyword arguments."""
        kwargs = {
            "name": self.name,
            "namespace": self.namespace,
            "access": dict(self.access),
            "poll_interval": self.poll_interval,
            "state": dict(self.state),
        }
        return "airflow_pachy.triggers.rollout.RolloutTrigger", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until it is over."""
        status, message = await self._wait()
        yield TriggerEvent({"status": status, "message": message, "state": dict(self.state)})  # type: ignore[no-untyped-call]  # Airflow's

    async def _wait(self) -> tuple[str, str]:
        watch = DeploymentWatch(self.name, self.namespace, self.access)
        errors, said = 0, ""
        while True:
            try:
                found = await watch.look()
            except Exception as error:  # noqa: BLE001 - whatever it is, the task learns of it
                errors += 1
                self.log.warning("Deployment %s cannot be looked at: %s", self.name, error)
                if errors > MAX_API_ERRORS:
                    return "error", f"{type(error).__name__}: {error}"
            else:
                errors = 0
                if found.progress is not Progress.ROLLING:
                    return str(found.progress), found.message
                if found.message != said:
                    said = found.message
                    self.log.info("Deployment %s: %s", self.name, said)
            await asyncio.sleep(self.poll_interval)
