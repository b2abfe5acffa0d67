"""Reading a datum set's pod: what happened, whose budget of retries pays for it, and what the user can do.

The helper's exit code is the only evidence of success, since it comes after the last record is in the
bucket. Container states explain failures; the pod's phase is looked at last, because it can lag behind
or, after an out-of-memory kill, say nothing at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_pachy.pods.parts import BASE, HELPER, PLACE

if TYPE_CHECKING:
    from kubernetes.client import models as k8s


class VerdictKind(StrEnum):
    """What to do about a pod."""

    RUNNING = "running"
    """Wait."""
    DONE = "done"
    """Every datum of the set is recorded."""
    DATUMS_FAILED = "datums_failed"
    """Some datums failed: a retry costs the user's budget."""
    INFRASTRUCTURE = "infrastructure"
    """Not the user's doing: a retry costs the larger budget of its own."""
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
_PASSING_PULL_ERRORS = ("toomanyrequests", "429", "timeout", "timed out", "connection re", "no such host", "503", "502")
_HELPER_EXITS = {
    122: (VerdictKind.INFRASTRUCTURE, "helper and user container lost sight of each other"),
    123: (VerdictKind.INFRASTRUCTURE, "inputs could not be put on the pod's volume"),
    124: (VerdictKind.INFRASTRUCTURE, "outputs could not be stored"),
    143: (VerdictKind.INFRASTRUCTURE, "the pod was told to stop"),
}


def read_pod(pod: k8s.V1Pod) -> Verdict:
    """The verdict on a pod built from `build_pod_parts`."""
    statuses = {status.name: status for status in _statuses(pod)}
    base, helper = _exit_code(statuses.get(BASE)), _exit_code(statuses.get(HELPER))
    kind, message = (
        _by_helper(statuses, helper) or _by_waiting(statuses) or _by_place(statuses) or _by_phase(pod, statuses)
    )
    return Verdict(kind, message, base, helper)


Finding = tuple[VerdictKind, str]


def _statuses(pod: k8s.V1Pod) -> list[k8s.V1ContainerStatus]:
    if pod.status is None:
        return []
    return [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]


def _terminated(status: k8s.V1ContainerStatus | None) -> k8s.V1ContainerStateTerminated | None:
    return status.state.terminated if status is not None and status.state is not None else None


def _exit_code(status: k8s.V1ContainerStatus | None) -> int | None:
    ended = _terminated(status)
    return ended.exit_code if ended is not None else None


def _by_helper(statuses: dict[str, k8s.V1ContainerStatus], exit_code: int | None) -> Finding | None:
    ended = _terminated(statuses.get(HELPER))
    if ended is None or exit_code is None:
        return None
    report = _report(ended.message)
    if exit_code == 0:
        return VerdictKind.DONE, f"{report.get('success', 0)} datums done, {report.get('skipped', 0)} were done before"
    if exit_code == 121:
        memory = _out_of_memory(statuses)
        failed = report.get("failed", "some")
        why = memory or report.get("error") or "their result records say why"
        return VerdictKind.DATUMS_FAILED, f"{failed} datums failed: {why}"
    if ended.reason == "OOMKilled":
        return VerdictKind.INFRASTRUCTURE, "the helper container ran out of memory: raise its memory limit"
    kind, what = _HELPER_EXITS.get(exit_code, (VerdictKind.INFRASTRUCTURE, f"the helper ended with status {exit_code}"))
    detail = report.get("error") or _out_of_memory(statuses)
    return kind, f"{what}: {detail}" if detail else what


def _report(message: str | None) -> dict[str, object]:
    try:
        report = json.loads(message or "{}")
    except ValueError:
        return {"error": message}
    return report if isinstance(report, dict) else {"error": message}


def _out_of_memory(statuses: dict[str, k8s.V1ContainerStatus]) -> str | None:
    ended = _terminated(statuses.get(BASE))
    if ended is None or ended.reason != "OOMKilled":
        return None
    return "the user's container ran out of memory (OOMKilled): raise its memory limit, or make smaller datums"


def _by_waiting(statuses: dict[str, k8s.V1ContainerStatus]) -> Finding | None:
    """A container that waits for something that will not come by itself."""
    for status in statuses.values():
        waiting = status.state.waiting if status.state is not None else None
        if waiting is None or not waiting.reason:
            continue
        said = f" ({waiting.message})" if waiting.message else ""
        if waiting.reason in _IMAGE_PULL:
            passing = any(word in (waiting.message or "").lower() for word in _PASSING_PULL_ERRORS)
            kind = VerdictKind.INFRASTRUCTURE if passing else VerdictKind.MISCONFIGURED
            what = f"image {status.image!r} of container {status.name} cannot be pulled{said}"
            return kind, f"{what}: check its name and pull secret"
        if waiting.reason in _CANNOT_START:
            text = _CANNOT_START[waiting.reason].format(name=status.name, image=status.image)
            return VerdictKind.MISCONFIGURED, f"{text}{said}"
    return None


def _by_place(statuses: dict[str, k8s.V1ContainerStatus]) -> Finding | None:
    ended = _terminated(statuses.get(PLACE))
    if ended is None or ended.exit_code == 0:
        return None
    image = statuses[PLACE].image
    return (
        VerdictKind.MISCONFIGURED,
        f"init container {PLACE} failed with exit code {ended.exit_code}: is {image!r} the helper image?",
    )


def _by_phase(pod: k8s.V1Pod, statuses: dict[str, k8s.V1ContainerStatus]) -> Finding:
    ended = _terminated(statuses.get(BASE))
    if ended is not None and ended.reason in ("ContainerCannotRun", "StartError"):
        return VerdictKind.MISCONFIGURED, f"the user's container cannot run: {ended.message or ended.reason}"
    phase = pod.status.phase if pod.status is not None else None
    if phase not in ("Failed", "Succeeded"):
        return VerdictKind.RUNNING, f"the pod is {(phase or 'not there yet').lower()}"
    reason = pod.status.reason or ""
    said = f": {pod.status.message}" if pod.status.message else ""
    if reason:  # Evicted, Preempting, NodeLost, Shutdown, DeadlineExceeded
        return VerdictKind.INFRASTRUCTURE, f"the pod was ended by Kubernetes ({reason}){said}"
    why = _out_of_memory(statuses) or "the helper left no exit code: its node may be gone"
    return VerdictKind.INFRASTRUCTURE, f"the pod ended without a result: {why}"
