"""Waiting for a datum set's pod in the triggerer.

Airflow's own trigger fires when the user's container ends. Our helper then still uploads and records, for seconds or
for an hour, and the resumed task would hold a worker slot while it waits for that. This one fires when the whole
pod has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.triggers.pod import ContainerState, KubernetesPodTrigger

if TYPE_CHECKING:
    from kubernetes_asyncio.client.models import V1Pod

_PHASES = {"Succeeded": ContainerState.TERMINATED, "Failed": ContainerState.FAILED}


class DatumSetPodTrigger(KubernetesPodTrigger):
    """Fires when the pod, not only its base container, has ended; arguments and events are those of its base class."""

    @classmethod
    def like(cls, trigger: KubernetesPodTrigger) -> DatumSetPodTrigger:
        """The same wait, for the whole pod."""
        _, kwargs = trigger.serialize()
        return cls(**kwargs)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and keyword arguments."""
        _, kwargs = super().serialize()
        return "airflow_pachy.triggers.pods.DatumSetPodTrigger", kwargs

    def define_container_state(self, pod: V1Pod) -> ContainerState:
        """The same; older versions of the Kubernetes provider ask this one."""
        return self.define_pod_container_state(pod)

    def define_pod_container_state(self, pod: V1Pod) -> ContainerState:
        """The pod's end as the state of its containers; running while any of them does."""
        status: Any = pod.status
        if status is None:
            return ContainerState.UNDEFINED
        if status.phase in _PHASES:
            return _PHASES[status.phase]
        containers = status.container_statuses or []
        ends = [one.state.terminated for one in containers if one.state and one.state.terminated]
        if containers and len(ends) == len(containers):
            # The phase follows a moment later; nothing more will happen.
            return ContainerState.FAILED if any(end.exit_code for end in ends) else ContainerState.TERMINATED
        return ContainerState.RUNNING if status.phase == "Running" else ContainerState.WAITING
