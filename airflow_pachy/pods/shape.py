"""Which shape a pod may have: the helper as an ordinary second container, or as a native sidecar.

A native sidecar (an init container with restartPolicy Always) is up before the user's container starts, and is told to
end after it. An API server that does not know the field refuses the probe that goes with it, or, without one, drops the
field without a word, and the pod would wait for ever for an init container that never ends: so what was created is
looked at, not only the version.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kubernetes.client import models as k8s

from airflow_pachy.pods.parts import HELPER

if TYPE_CHECKING:
    from kubernetes.client import VersionInfo

SIDECARS_SINCE = (1, 29)
SHAPES = ("auto", "classic", "sidecar")


def knows_sidecars(version: VersionInfo) -> bool:
    """Whether an API server of this version has native sidecars switched on, and our client can ask for them."""
    return _number(version) >= SIDECARS_SINCE and hasattr(k8s.V1Container, "restart_policy")


def lost_its_sidecar(asked: k8s.V1Pod, created: k8s.V1Pod) -> bool:
    """Whether the helper was to be a native sidecar, and the API server made an ordinary init container of it."""
    return _restarts(asked) and not _restarts(created)


def _restarts(pod: k8s.V1Pod) -> bool:
    containers = pod.spec.init_containers or []
    return any(one.name == HELPER and getattr(one, "restart_policy", None) == "Always" for one in containers)


def _number(version: VersionInfo) -> tuple[int, int]:
    """`1`, `29+` of a hoster's build as numbers; `v1.33.1+k3s1` where a distribution says only that."""
    for text in (f"{version.major}.{version.minor}", str(version.git_version)):
        if found := re.match(r"v?(\d+)\.(\d+)", text):
            return int(found[1]), int(found[2])
    return 0, 0
