"""The parts that turn a pod with the user's container into one that processes a datum set.

An init container puts busybox and the shim on a shared volume, the user's container runs the shim, the helper stages,
collects and records. The helper is an ordinary second container, on every Kubernetes from 1.20 on, or a native
sidecar (see `shape`). Only it has the bucket's credentials, nobody has a Kubernetes token.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubernetes.client import models as k8s

from airflow_pachy.pods.names import ATTEMPT_ANNOTATION, PLAN_ANNOTATION

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
    """What `add_to_pod` adds: two volumes, an init container, a helper, and what changes in the user's container.

    `base_security` fills what the user's container leaves open. `sidecar`: the helper goes with the init containers.
    """

    volumes: tuple[k8s.V1Volume, ...]
    init_container: k8s.V1Container
    helper_container: k8s.V1Container
    base_command: tuple[str, ...]
    base_mounts: tuple[k8s.V1VolumeMount, ...]
    annotations: dict[str, str]
    base_security: k8s.V1SecurityContext | None = None
    sidecar: bool = False


def build_pod_parts(request: PodRequest) -> PodParts:
    """The parts for one datum set."""
    pfs_mount = k8s.V1VolumeMount(name=PFS_VOLUME, mount_path=PFS_PATH)
    scratch_mount = k8s.V1VolumeMount(name=SCRATCH_VOLUME, mount_path=SCRATCH_PATH)
    return PodParts(
        volumes=(
            empty_dir(PFS_VOLUME, request.volume_bytes),
            empty_dir(SCRATCH_VOLUME, SCRATCH_BYTES),
        ),
        init_container=_init_container(request, pfs_mount),
        helper_container=helper_container(request, [pfs_mount, scratch_mount]),
        base_command=SHIM_COMMAND,
        base_mounts=(pfs_mount,),
        annotations={
            SKIP_IDENTITY_ANNOTATION: BASE,
            ATTEMPT_ANNOTATION: request.attempt,
            PLAN_ANNOTATION: request.set_plan,
        },
        base_security=restricted(None, read_only_root=None) if request.restricted else None,
        sidecar=request.sidecar,
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
    if parts.base_security is not None:
        base.security_context = filled(base.security_context, parts.base_security)
    ours = [parts.helper_container]
    spec.containers = [base, *([] if parts.sidecar else ours), *spec.containers[1:]]
    spec.init_containers = [parts.init_container, *(ours if parts.sidecar else []), *(spec.init_containers or [])]
    spec.volumes = [*(spec.volumes or []), *parts.volumes]
    spec.automount_service_account_token = False
    spec.restart_policy = "Never"
    pod.metadata = pod.metadata or k8s.V1ObjectMeta()
    pod.metadata.annotations = {**(pod.metadata.annotations or {}), **parts.annotations}
    return pod


def empty_dir(name: str, size_bytes: int) -> k8s.V1Volume:
    """A volume that is there as long as the pod."""
    # The limit evicts this pod when it fills its volume, instead of the node running out of disk for all.
    return k8s.V1Volume(name=name, empty_dir=k8s.V1EmptyDirVolumeSource(size_limit=str(size_bytes)))


def _init_container(request: PodRequest, pfs_mount: k8s.V1VolumeMount) -> k8s.V1Container:
    return k8s.V1Container(
        name=PLACE,
        image=request.helper_image,
        image_pull_policy=request.image_pull_policy,
        args=["place"],
        volume_mounts=[pfs_mount],
        security_context=restricted(request.helper_user),
        resources=k8s.V1ResourceRequirements(
            requests={"cpu": request.helper_cpu, "memory": "64Mi"}, limits={"memory": "128Mi"}
        ),
    )


def helper_container(request: PodRequest, mounts: list[k8s.V1VolumeMount]) -> k8s.V1Container:
    """The helper: what it needs to know is in its environment."""
    settings = {
        **request.helper_env,
        "PACHY_STORAGE": request.storage,
        "PACHY_SET_PLAN": request.set_plan,
        "PACHY_ATTEMPT": request.attempt,
        "PACHY_STAGE_BYTES": str(request.volume_bytes // 2),
        "PACHY_KILL_GRACE_SECONDS": str(request.kill_grace_seconds),
        "PACHY_SIDECAR": "1" if request.sidecar else None,
        "PACHY_S3_ENDPOINT": request.s3_endpoint,
        "PACHY_S3_REGION": request.s3_region,
        "PACHY_S3_ADDRESSING_STYLE": request.s3_addressing_style,
        "TMPDIR": SCRATCH_PATH,
    }
    secret = request.credentials_secret
    shape: dict[str, Any] = {}
    if request.sidecar:
        shape = {"restart_policy": "Always", "startup_probe": _helper_is_up()}
    return k8s.V1Container(
        name=HELPER,
        image=request.helper_image,
        image_pull_policy=request.image_pull_policy,
        env=[k8s.V1EnvVar(name=name, value=value) for name, value in settings.items() if value],
        env_from=[k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=secret))] if secret else None,
        volume_mounts=mounts,
        security_context=restricted(request.helper_user),
        resources=k8s.V1ResourceRequirements(
            requests={
                "cpu": request.helper_cpu,
                "memory": request.helper_memory_request,
                "ephemeral-storage": str(request.volume_bytes + SCRATCH_BYTES),
            },
            limits={"memory": request.helper_memory_limit},
        ),
        **shape,
    )


def _helper_is_up() -> k8s.V1Probe:
    command = ["/bin/busybox", "test", "-e", f"{PFS_PATH}/.pfs/helper.hb"]
    return k8s.V1Probe(_exec=k8s.V1ExecAction(command=command), period_seconds=1, failure_threshold=300)


def restricted(user: int | None, *, read_only_root: bool | None = True) -> k8s.V1SecurityContext:
    """What the "restricted" Pod Security profile asks of a container.

    The user is named, because a pod-wide `runAsUser` meant for the user's container would else hold for ours too.
    """
    return k8s.V1SecurityContext(
        allow_privilege_escalation=False,
        capabilities=k8s.V1Capabilities(drop=["ALL"]),
        read_only_root_filesystem=read_only_root,
        run_as_non_root=True,
        run_as_user=user,
        run_as_group=user,
        seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
    )


def filled(given: k8s.V1SecurityContext | None, wanted: k8s.V1SecurityContext) -> k8s.V1SecurityContext:
    """What is given, and what is wanted where nothing is."""
    if given is None:
        return wanted
    missing = {name: getattr(wanted, name) for name in wanted.attribute_map if getattr(given, name) is None}
    for name, value in missing.items():
        setattr(given, name, value)
    return given
