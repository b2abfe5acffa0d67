"""The parts that turn a pod with the user's container into one that processes a datum set.

Classic shape, for every Kubernetes from 1.20 on: an init container puts busybox and the shim on a
shared volume, the user's container runs the shim, an ordinary second container stages, collects and
records. Only that one has the bucket's credentials, nobody has a Kubernetes token.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubernetes.client import models as k8s

if TYPE_CHECKING:
    from airflow_pachy.pods.request import PodRequest

BASE = "base"
HELPER = "helper"
PLACE = "place"
PFS_VOLUME = "pfs"
SCRATCH_VOLUME = "hlp"
PFS_PATH = "/pfs"
SCRATCH_PATH = "/hlp"
SHIM_COMMAND = (f"{PFS_PATH}/.pfs/busybox", "sh", f"{PFS_PATH}/.pfs/shim.sh")
SKIP_IDENTITY_ANNOTATION = "eks.amazonaws.com/skip-containers"
SCRATCH_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class PodParts:
    """What `add_to_pod` adds: two volumes, an init container, a helper, and what changes in the user's container."""

    volumes: tuple[k8s.V1Volume, ...]
    init_container: k8s.V1Container
    helper_container: k8s.V1Container
    base_command: tuple[str, ...]
    base_mounts: tuple[k8s.V1VolumeMount, ...]
    annotations: dict[str, str]


def build_pod_parts(request: PodRequest) -> PodParts:
    """The parts for one datum set."""
    pfs_mount = k8s.V1VolumeMount(name=PFS_VOLUME, mount_path=PFS_PATH)
    scratch_mount = k8s.V1VolumeMount(name=SCRATCH_VOLUME, mount_path=SCRATCH_PATH)
    return PodParts(
        volumes=(
            _empty_dir(PFS_VOLUME, request.volume_bytes),
            _empty_dir(SCRATCH_VOLUME, SCRATCH_BYTES),
        ),
        init_container=_init_container(request, pfs_mount),
        helper_container=_helper_container(request, [pfs_mount, scratch_mount]),
        base_command=SHIM_COMMAND,
        base_mounts=(pfs_mount,),
        annotations={SKIP_IDENTITY_ANNOTATION: BASE},
    )


def add_to_pod(pod: k8s.V1Pod, parts: PodParts) -> k8s.V1Pod:
    """A copy of the pod with the parts; its first container is the user's, and becomes `base`.

    The container's own command and arguments are dropped: the set plan has them, and the shim runs them.
    """
    pod = deepcopy(pod)
    spec: k8s.V1PodSpec = pod.spec
    base: k8s.V1Container = spec.containers[0]
    base.name = BASE
    base.command, base.args = list(parts.base_command), None
    base.volume_mounts = [*(base.volume_mounts or []), *parts.base_mounts]
    spec.containers = [base, parts.helper_container, *spec.containers[1:]]
    spec.init_containers = [parts.init_container, *(spec.init_containers or [])]
    spec.volumes = [*(spec.volumes or []), *parts.volumes]
    spec.automount_service_account_token = False
    spec.restart_policy = "Never"
    pod.metadata = pod.metadata or k8s.V1ObjectMeta()
    pod.metadata.annotations = {**(pod.metadata.annotations or {}), **parts.annotations}
    return pod


def _empty_dir(name: str, size_bytes: int) -> k8s.V1Volume:
    # The limit evicts this pod when it fills its volume, instead of the node running out of disk for all.
    return k8s.V1Volume(name=name, empty_dir=k8s.V1EmptyDirVolumeSource(size_limit=str(size_bytes)))


def _init_container(request: PodRequest, pfs_mount: k8s.V1VolumeMount) -> k8s.V1Container:
    return k8s.V1Container(
        name=PLACE,
        image=request.helper_image,
        image_pull_policy=request.image_pull_policy,
        args=["place"],
        volume_mounts=[pfs_mount],
        security_context=_restricted(),
        resources=k8s.V1ResourceRequirements(
            requests={"cpu": request.helper_cpu, "memory": "64Mi"}, limits={"memory": "128Mi"}
        ),
    )


def _helper_container(request: PodRequest, mounts: list[k8s.V1VolumeMount]) -> k8s.V1Container:
    settings = {
        **request.helper_env,
        "PACHY_STORAGE": request.storage,
        "PACHY_SET_PLAN": request.set_plan,
        "PACHY_ATTEMPT": request.attempt,
        "PACHY_STAGE_BYTES": str(request.volume_bytes // 2),
        "PACHY_S3_ENDPOINT": request.s3_endpoint,
        "PACHY_S3_REGION": request.s3_region,
        "PACHY_S3_ADDRESSING_STYLE": request.s3_addressing_style,
        "TMPDIR": SCRATCH_PATH,
    }
    secret = request.credentials_secret
    return k8s.V1Container(
        name=HELPER,
        image=request.helper_image,
        image_pull_policy=request.image_pull_policy,
        env=[k8s.V1EnvVar(name=name, value=value) for name, value in settings.items() if value],
        env_from=[k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=secret))] if secret else None,
        volume_mounts=mounts,
        security_context=_restricted(),
        resources=k8s.V1ResourceRequirements(
            requests={
                "cpu": request.helper_cpu,
                "memory": request.helper_memory_request,
                "ephemeral-storage": str(request.volume_bytes + SCRATCH_BYTES),
            },
            limits={"memory": request.helper_memory_limit},
        ),
    )


def _restricted() -> k8s.V1SecurityContext:
    """What the "restricted" Pod Security profile asks of a container; the image's user is numeric and not root."""
    return k8s.V1SecurityContext(
        allow_privilege_escalation=False,
        capabilities=k8s.V1Capabilities(drop=["ALL"]),
        read_only_root_filesystem=True,
        run_as_non_root=True,
        seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
    )
