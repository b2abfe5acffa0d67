"""Reading a datum set's pod: what happened, whose budget of retries pays for it, and what the user can do.

The helper's exit code is the only evidence of success, since it comes after the last record is in the
bucket. What Kubernetes says of an eviction comes second, container states third; the pod's phase is looked at last,
because it can lag behind or, after an out-of-memory kill, say nothing at all.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_pachy.pods.parts import BASE, HELPER, PLACE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes.client import models as k8s


class VerdictKind(StrEnum):
    """What to do about a pod."""

    RUNNING = "running"
    """Wait."""
    DONE = "done"
    """Every datum of the set is recorded."""
    DATUMS_FAILED = "datums_failed"
    """Some datums failed, or took their pod down: what is unfinished may run in another one."""
    INFRASTRUCTURE = "infrastructure"
    """Not the user's doing: another pod, which the larger budget pays for."""
    MISCONFIGURED = "misconfigured"
    """No retry will help before somebody changes something."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a pod; `message` says it in words, with the remedy."""

    kind: VerdictKind
    message: str
    base_exit_code: int | None = None
    helper_exit_code: int | None = None


_CANNOT_START = {
    "InvalidImageName": "the image name {image!r} is not valid: correct it",
    "CreateContainerConfigError": "container {name} refers to a Secret or ConfigMap that is missing, or has a bad user",
    "CreateContainerError": "container {name} cannot be created from image {image!r}",
    "RunContainerError": "container {name} cannot be run from image {image!r}",
}
_IMAGE_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"})
_PASSING_PULL_ERRORS = re.compile(
    r"toomanyrequests|too many requests|rate limit|qps exceeded|quota exceeded|\b(429|500|502|503|504)\b|bad gateway"
    r"|unavailable|time(d )?out|deadline exceeded|connection re|EOF|try again",
    re.IGNORECASE,
)
_NO_DETAIL = re.compile(r'^Back-off pulling image "[^"]*"$')
_OWN_LIMIT = re.compile(r"exceed(s|ed) (the limit|the total limit|its local ephemeral storage limit)")
_HELPER_EXITS = {
    119: (VerdictKind.MISCONFIGURED, "datums were left undone"),
    120: (VerdictKind.MISCONFIGURED, "the helper cannot work as it is configured"),
    122: (VerdictKind.INFRASTRUCTURE, "helper and user container lost sight of each other"),
    123: (VerdictKind.INFRASTRUCTURE, "inputs could not be put on the pod's volume"),
    124: (VerdictKind.INFRASTRUCTURE, "outputs could not be stored"),
    143: (VerdictKind.INFRASTRUCTURE, "the pod was told to stop"),
}

Finding = tuple[VerdictKind, str]
Statuses = dict[str, "k8s.V1ContainerStatus"]


def read_pod(pod: k8s.V1Pod, pull_errors: Mapping[str, str] | None = None) -> Verdict:
    """The verdict on a pod built from `build_pod_parts`.

    `pull_errors` has, by image, why it could not be pulled, from the pod's events: older kubelets soon hide it.
    """
    statuses = container_statuses(pod)
    base, helper = _exit_code(statuses.get(BASE)), _exit_code(statuses.get(HELPER))
    kind, message = (
        _by_success(statuses, helper)
        or _by_reason(pod)
        or _by_helper(statuses, helper)
        or by_waiting(statuses, pull_errors or {})
        or _by_place(statuses)
        or _by_phase(pod, statuses)
    )
    return Verdict(kind, message, base, helper)


def container_statuses(pod: k8s.V1Pod) -> Statuses:
    """What is known of each container of the pod, by name."""
    if pod.status is None:
        return {}
    known = [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]
    return {status.name: status for status in known}


def terminated(status: k8s.V1ContainerStatus | None) -> k8s.V1ContainerStateTerminated | None:
    """How a container ended, None if it has not."""
    return status.state.terminated if status is not None and status.state is not None else None


def _exit_code(status: k8s.V1ContainerStatus | None) -> int | None:
    ended = terminated(status)
    return ended.exit_code if ended is not None else None


def _by_success(statuses: Statuses, exit_code: int | None) -> Finding | None:
    if exit_code != 0:
        return None
    ended = terminated(statuses.get(HELPER))
    report = _report(ended.message if ended else None)
    return VerdictKind.DONE, f"{report.get('success', 0)} datums done, {report.get('skipped', 0)} were done before"


def _by_reason(pod: k8s.V1Pod) -> Finding | None:
    """What Kubernetes did to the whole pod: Evicted, Preempting, NodeLost, Shutdown, DeadlineExceeded, OutOfcpu."""
    status = pod.status
    if status is None or status.phase != "Failed" or not status.reason:
        return None
    said = f": {status.message}" if status.message else ""
    what = f"the pod was ended by Kubernetes ({status.reason}){said}"
    if status.reason == "DeadlineExceeded":
        return VerdictKind.MISCONFIGURED, f"{what}. Raise active_deadline_seconds, or make smaller datum sets"
    if status.reason == "Evicted" and _OWN_LIMIT.search(status.message or ""):
        remedy = "Raise ephemeral-storage in container_resources, which is the size of /pfs, or make smaller datums"
        return VerdictKind.MISCONFIGURED, f"{what.rstrip('. ')}. {remedy}"
    return VerdictKind.INFRASTRUCTURE, what


def _by_helper(statuses: Statuses, exit_code: int | None) -> Finding | None:
    ended = terminated(statuses.get(HELPER))
    if ended is None or exit_code is None:
        return None
    report = _report(ended.message)
    if exit_code == 121:
        failed = report.get("failed", "some")
        why = _out_of_memory(statuses) or report.get("error") or "their result records say why"
        return VerdictKind.DATUMS_FAILED, f"{failed} datums failed: {why}"
    if ended.reason == "OOMKilled":
        return VerdictKind.INFRASTRUCTURE, "the helper container ran out of memory: raise [pachy] helper_memory"
    if exit_code == 137:
        return VerdictKind.INFRASTRUCTURE, "the helper container was killed (137)"
    kind, what = _HELPER_EXITS.get(exit_code, (VerdictKind.INFRASTRUCTURE, f"the helper ended with status {exit_code}"))
    detail = report.get("error") or _out_of_memory(statuses)
    return kind, f"{what}: {detail}" if detail else what


def _report(message: str | None) -> dict[str, object]:
    try:
        report = json.loads(message or "{}")
    except ValueError:
        return {"error": message}
    return report if isinstance(report, dict) else {"error": message}


def _out_of_memory(statuses: Statuses) -> str | None:
    ended = terminated(statuses.get(BASE))
    if ended is None or ended.reason != "OOMKilled":
        return None
    return "the user's container ran out of memory (OOMKilled): raise its memory limit, or make smaller datums"


def by_waiting(statuses: Statuses, pull_errors: Mapping[str, str]) -> Finding | None:
    """A container that waits for something that will not come by itself."""
    for status in statuses.values():
        waiting = status.state.waiting if status.state is not None else None
        if waiting is None or not waiting.reason:
            continue
        said = f" ({waiting.message})" if waiting.message else ""
        if waiting.reason in _IMAGE_PULL:
            hidden = not waiting.message or _NO_DETAIL.match(waiting.message)
            detail = pull_errors.get(status.image, "") if hidden else waiting.message
            return _by_pull(status, detail or waiting.message or "")
        if waiting.reason in _CANNOT_START:
            text = _CANNOT_START[waiting.reason].format(name=status.name, image=status.image)
            return VerdictKind.MISCONFIGURED, f"{text}{said}"
    return None


def _by_pull(status: k8s.V1ContainerStatus, detail: str) -> Finding:
    said = f" ({detail})" if detail else ""
    what = f"image {status.image!r} of container {status.name} cannot be pulled{said}"
    if _PASSING_PULL_ERRORS.search(detail):
        return VerdictKind.RUNNING, f"{what}, which Kubernetes tries again"
    return VerdictKind.MISCONFIGURED, f"{what}: check its name and pull secret"


def waits_for_image(pod: k8s.V1Pod) -> bool:
    """Whether a container of the pod waits for its image after a failed pull."""
    waits = (status.state.waiting for status in container_statuses(pod).values() if status.state is not None)
    return any(waiting is not None and waiting.reason in _IMAGE_PULL for waiting in waits)


def _by_place(statuses: Statuses) -> Finding | None:
    ended = terminated(statuses.get(PLACE))
    if ended is None or ended.exit_code == 0:
        return None
    image = statuses[PLACE].image
    return (
        VerdictKind.MISCONFIGURED,
        f"init container {PLACE} failed with exit code {ended.exit_code}: is {image!r} the helper image?",
    )


def _by_phase(pod: k8s.V1Pod, statuses: Statuses) -> Finding:
    ended = terminated(statuses.get(BASE))
    if ended is not None and ended.reason in ("ContainerCannotRun", "StartError"):
        return VerdictKind.MISCONFIGURED, f"the user's container cannot run: {ended.message or ended.reason}"
    phase = pod.status.phase if pod.status is not None else None
    if phase not in ("Failed", "Succeeded"):
        why = unschedulable(pod)
        return VerdictKind.RUNNING, f"the pod is {(phase or 'not there yet').lower()}{f': {why}' if why else ''}"
    why = _out_of_memory(statuses) or "the helper left no exit code: its node may be gone"
    return VerdictKind.INFRASTRUCTURE, f"the pod ended without a result: {why}"


def unschedulable(pod: k8s.V1Pod) -> str:
    """Why no node takes the pod, in the scheduler's words; "" when one has."""
    condition = scheduled_condition(pod)
    return condition.message or "" if condition is not None and condition.status == "False" else ""


def scheduled_condition(pod: k8s.V1Pod) -> k8s.V1PodCondition | None:
    """The pod's condition PodScheduled, if it has one yet."""
    conditions = (pod.status.conditions or []) if pod.status is not None else []
    return next((condition for condition in conditions if condition.type == "PodScheduled"), None)
