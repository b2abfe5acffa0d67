"""Until when to wait for a pod: one pure look, used by the worker that waits and by the triggerer.

Only the user's container and the helper count: a service mesh's proxy beside them may run for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_pachy.pods.parts import BASE, HELPER
from airflow_pachy.pods.status import (
    VerdictKind,
    container_statuses,
    read_pod,
    scheduled_condition,
    terminated,
    waits_for_image,
)

if TYPE_CHECKING:
    from kubernetes.client import models as k8s

GONE_AFTER = timedelta(seconds=60)
"""Past the time when a deleted pod should have been gone. A lost node never confirms it."""

LOOKS_PER_AGE = 20
LONGEST_PAUSE_SECONDS = 20.0


class End(StrEnum):
    """Why waiting is over."""

    ENDED = "ended"
    """Its containers have ended, or cannot start."""
    LOST = "lost"
    """It was deleted, or its node does not answer."""
    LATE = "late"
    """It has not started in time."""
    TIMEOUT = "timeout"
    """The task's execution_timeout is over."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a pod may wait for a node, then for its start, and when the task's time is over (Unix time).

    `patient_pulls`: an image that cannot be pulled is waited for, because the registry is known to be busy.
    """

    schedule_seconds: float
    startup_seconds: float
    deadline: float | None = None
    patient_pulls: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """The end of waiting, in words where there is something to say."""

    end: End
    message: str = ""


def look(pod: k8s.V1Pod | None, limits: Limits, now: datetime) -> Finding | None:
    """Whether waiting is over; None to go on. `pod` is None when it is not there any more."""
    if pod is None:
        return Finding(End.LOST, "it was deleted by somebody before its end was seen")
    hopeless = read_pod(pod).kind is VerdictKind.MISCONFIGURED and not (limits.patient_pulls and waits_for_image(pod))
    if has_ended(pod) or hopeless:
        return Finding(End.ENDED)
    deleted = pod.metadata.deletion_timestamp
    if deleted is not None and now - deleted > GONE_AFTER:
        return Finding(End.LOST, f"it was to be deleted at {deleted:%H:%M:%S}, but its node does not answer")
    if limits.deadline is not None and now.timestamp() >= limits.deadline:
        return Finding(End.TIMEOUT, "the task's execution_timeout (job_timeout) is over")
    return _late(pod, limits, now)


def pause_seconds(pod: k8s.V1Pod | None, limits: Limits, now: datetime, least_seconds: float) -> float:
    """How long to wait until the next look.

    A twentieth of the pod's age, between `least_seconds` and 20, so that hundreds of pods that run for hours leave the
    API server alone, and no end is noticed later than after 5 % of what the pod took. Never past the deadline.
    """
    created = pod.metadata.creation_timestamp if pod is not None else None
    age = (now - created).total_seconds() if created is not None else 0.0
    pause = max(least_seconds, min(age / LOOKS_PER_AGE, LONGEST_PAUSE_SECONDS))
    if limits.deadline is None:
        return pause
    return min(pause, max(least_seconds, limits.deadline - now.timestamp()))


def has_ended(pod: k8s.V1Pod) -> bool:
    """Whether nothing more will happen in the pod."""
    if pod.status is not None and pod.status.phase in ("Succeeded", "Failed"):
        return True
    statuses = container_statuses(pod)
    # The phase follows a moment later.
    return all(terminated(statuses.get(name)) is not None for name in (BASE, HELPER))


def _late(pod: k8s.V1Pod, limits: Limits, now: datetime) -> Finding | None:
    if pod.status is None or pod.status.phase != "Pending":
        return None
    what = read_pod(pod).message
    condition = scheduled_condition(pod)
    created = pod.metadata.creation_timestamp or now
    if condition is None or condition.status != "True":
        late = now - created > timedelta(seconds=limits.schedule_seconds)
        said = f"no node took it within {limits.schedule_seconds:g} seconds: {what}"
        return Finding(End.LATE, said) if late else None
    late = now - (condition.last_transition_time or created) > timedelta(seconds=limits.startup_seconds)
    return Finding(End.LATE, f"it did not start within {limits.startup_seconds:g} seconds: {what}") if late else None
