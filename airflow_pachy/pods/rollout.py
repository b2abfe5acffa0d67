"""How a Deployment of ours is getting on: one pure look, for the worker that waits and for the triggerer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_pachy.pods.parts import BASE
from airflow_pachy.pods.status import VerdictKind, by_waiting, container_statuses, unschedulable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubernetes.client import models as k8s

CRASHES = 5
"""So many restarts in a row, within some three minutes of Kubernetes' growing pauses, are no accident any more."""


class Progress(StrEnum):
    """Where a rollout is."""

    ROLLING = "rolling"
    READY = "ready"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Rollout:
    """What was seen; `message` says what the pod is waiting for or why it does not come up."""

    progress: Progress
    message: str = ""


def look_at_rollout(deployment: k8s.V1Deployment | None, pods: Sequence[k8s.V1Pod]) -> Rollout:
    """Whether the Deployment's newest pod is ready and has replaced the others; `pods` are all that it has."""
    if deployment is None:
        return Rollout(Progress.GONE, "it was deleted by somebody")
    wanted = deployment.spec.replicas if deployment.spec.replicas is not None else 1
    status = deployment.status
    seen = status is not None and (status.observed_generation or 0) >= (deployment.metadata.generation or 0)
    if not seen:
        return Rollout(Progress.ROLLING, "Kubernetes has not looked at it yet")
    updated, replicas = status.updated_replicas or 0, status.replicas or 0
    if updated >= wanted and replicas <= updated and (status.available_replicas or 0) >= updated:
        return Rollout(Progress.READY, _restarts(pods))
    kind, message = look_at_pods(pods)
    if kind is VerdictKind.MISCONFIGURED:
        return Rollout(Progress.FAILED, message)
    for condition in status.conditions or []:
        if condition.type == "Progressing" and condition.reason == "ProgressDeadlineExceeded":
            return Rollout(Progress.FAILED, f"{condition.message} {message}".strip())
        if condition.type == "ReplicaFailure" and condition.status == "True":
            # A quota or an admission rule: others may make room.
            message = f"{condition.reason}: {condition.message}"
    return Rollout(Progress.ROLLING, message)


def look_at_pods(pods: Sequence[k8s.V1Pod]) -> tuple[VerdictKind, str]:
    """What the newest pod is doing: running, or failing in a way that will not pass."""
    living = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
    if not living:
        return VerdictKind.RUNNING, "it has no pod yet"
    pod = max(living, key=lambda one: one.metadata.creation_timestamp)
    statuses = container_statuses(pod)
    stuck = by_waiting(statuses, {})
    if stuck is not None:
        return stuck[0], f"pod {pod.metadata.name}: {stuck[1]}"
    for name, status in statuses.items():
        text = _ending(name, status)
        if text and not status.ready:
            failing = (status.restart_count or 0) >= CRASHES
            return (VerdictKind.MISCONFIGURED if failing else VerdictKind.RUNNING), f"pod {pod.metadata.name}: {text}"
    return VerdictKind.RUNNING, f"pod {pod.metadata.name}: {unschedulable(pod) or _waits_for(statuses)}"


def _restarts(pods: Sequence[k8s.V1Pod]) -> str:
    """What a pod that is ready now has gone through."""
    living = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
    found = (_ending(name, status) for pod in living for name, status in container_statuses(pod).items())
    return "; ".join(filter(None, found))


def _ending(name: str, status: k8s.V1ContainerStatus) -> str:
    """How a container ended before it was started again, "" if it never did."""
    ended = status.last_state.terminated if status.last_state is not None else None
    count = status.restart_count or 0
    if ended is None or not count:
        return ""
    what = "the user's process" if name == BASE else f"container {name}"
    why = f" ({ended.reason})" if ended.reason not in (None, "Error", "Completed") else ""
    said = f": {ended.message.strip()}" if ended.message else ""
    times = "once" if count == 1 else f"{count} times"
    return f"{what} has ended {times}, the last time with {ended.exit_code}{why}{said}"


def _waits_for(statuses: dict[str, k8s.V1ContainerStatus]) -> str:
    unready = [name for name, status in statuses.items() if not status.ready]
    return f"{', '.join(unready)} not ready yet" if unready else "running"
