"""What a pipeline's author changes in the finished pod: a merge, a patch, and the helper's resources."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kubernetes.client import ApiClient
from kubernetes.client import models as k8s
from kubernetes.utils.quantity import parse_quantity

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines.reading.patches import patch_pod_spec
from airflow_pachy.pods.parts import BASE, HELPER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class PodChanges:
    """`pod_spec` is merged over the pod's spec (RFC 7396), then `pod_patch` is applied to it (RFC 6902).

    Both are in Kubernetes' JSON. `helper_resources` has requests and limits of the helper container, over its own.
    """

    pod_spec: Mapping[str, Any] = field(default_factory=dict)
    pod_patch: Sequence[Mapping[str, Any]] = ()
    helper_resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


CHANGES = tuple(PodChanges.__dataclass_fields__)
"""The names of the changes, as they stand among a pod's arguments."""


def change_pod(pod: k8s.V1Pod, changes: PodChanges) -> k8s.V1Pod:
    """A copy of the finished pod with the changes. Raises `InvalidSpec` for a patch that does not fit, or that would
    take away what processes the datums.
    """
    pod = deepcopy(pod)
    if changes.helper_resources:
        _set_helper_resources(pod, changes.helper_resources)
    if changes.pod_spec or changes.pod_patch:
        client = ApiClient()
        spec = client.sanitize_for_serialization(pod.spec)
        changed = patch_pod_spec(spec, pod_spec=changes.pod_spec, pod_patch=changes.pod_patch)
        try:
            pod.spec = client.deserialize(_Answer(json.dumps(changed)), "V1PodSpec")
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidSpec(f"pod_spec or pod_patch leave something that is no pod: {error}") from error
    _check_is_ours(pod)
    return pod


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the client takes for an answer of the API server."""

    data: str


def _containers(pod: k8s.V1Pod) -> list[k8s.V1Container]:
    return [*(pod.spec.containers or []), *(pod.spec.init_containers or [])]


def _set_helper_resources(pod: k8s.V1Pod, given: Mapping[str, Mapping[str, str]]) -> None:
    (helper,) = (one for one in _containers(pod) if one.name == HELPER)
    present = helper.resources or k8s.V1ResourceRequirements()
    requests = {**(present.requests or {}), **given.get("requests", {})}
    limits = {**(present.limits or {}), **given.get("limits", {})}
    for name in given.get("limits", {}):
        # The API server refuses a request above the limit; ours gives way, the author's own does not.
        if name in requests and name not in given.get("requests", {}):
            requests[name] = min(requests[name], limits[name], key=parse_quantity)
    helper.resources = k8s.V1ResourceRequirements(requests=requests, limits=limits, claims=present.claims)


def _check_is_ours(pod: k8s.V1Pod) -> None:
    names = [one.name for one in _containers(pod)]
    if not pod.spec.containers or pod.spec.containers[0].name != BASE or HELPER not in names:
        raise InvalidSpec(
            f"pod_spec or pod_patch leave the containers {', '.join(map(str, names)) or 'none'}: the first must stay "
            f"{BASE!r}, the user's, and {HELPER!r} must stay, which stages its files. A merge replaces lists as a "
            "whole; to change a container, use pod_patch with a path such as /containers/0/tty"
        )
