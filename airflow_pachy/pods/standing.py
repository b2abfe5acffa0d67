"""What stays in the cluster when a task has ended: the Deployments of services and spouts, and Services before them.

A Deployment of one pod, because Kubernetes then restarts and moves the pod by itself, whether Airflow is up or not. The
name is made from the pipeline's, so that creating it twice changes the first; annotations say whose it is, so that
nobody's else is changed. Everything here is a pure function on the client's models.
"""

from __future__ import annotations

import hashlib
import json
import re
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kubernetes.client import models as k8s

from airflow_pachy.pods.parts import (
    BASE,
    HELPER,
    PFS_PATH,
    PFS_VOLUME,
    SCRATCH_BYTES,
    SCRATCH_PATH,
    SCRATCH_VOLUME,
    SKIP_IDENTITY_ANNOTATION,
    empty_dir,
    filled,
    helper_container,
    restricted,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_pachy.pipelines.workload import Service
    from airflow_pachy.pods.request import PodRequest

STANDING_LABEL = "pachy-standing"
PIPELINE_ANNOTATION = "airflow-pachy/pipeline"
STORAGE_ANNOTATION = "airflow-pachy/storage"
VERSION_ANNOTATION = "airflow-pachy/version"
COMMITS_ANNOTATION = "airflow-pachy/commits"
PORT_NAME = "user"
NAME_LENGTH = 50
"""Pods get a suffix of 17, and must not become longer than a label's value."""


@dataclass(frozen=True, slots=True)
class StandingRequest:
    """Whose pod it is, and what the user's container runs.

    `storage` is the data's URL: with the pipeline's name it says who owns what stands. `env` and `command` are taken
    literally. `settings` are further variables of the helper. `rolling`: a new pod is ready before the old one ends;
    otherwise it starts after the old one's end.
    """

    pipeline: str
    storage: str
    version: int
    command: Sequence[str]
    env: Mapping[str, str]
    settings: Mapping[str, str]
    commits: Mapping[str, str] = field(default_factory=dict)
    working_dir: str | None = None
    service: Service | None = None
    rolling: bool = True
    ready_seconds: int = 3600

    @property
    def name(self) -> str:
        """The name of Deployment and Service."""
        return standing_name(self.pipeline)

    @property
    def owner(self) -> dict[str, str]:
        """Annotations that say whose it is."""
        return {PIPELINE_ANNOTATION: self.pipeline, STORAGE_ANNOTATION: self.storage}


def standing_name(pipeline: str) -> str:
    """`pachy-<pipeline>`; with some digits of a hash where Kubernetes does not take the name as it is."""
    name = f"pachy-{pipeline}"
    slug = re.sub(r"[^a-z0-9-]+", "-", name.lower())[:NAME_LENGTH].rstrip("-")
    if slug == name:
        return name
    return f"{slug[: NAME_LENGTH - 9].rstrip('-')}-{hashlib.sha256(pipeline.encode()).hexdigest()[:8]}"


def is_of(annotations: Mapping[str, str] | None, owner: Mapping[str, str]) -> bool:
    """Whether what stands has this owner."""
    return all((annotations or {}).get(name) == value for name, value in owner.items())


def service_pod(pod: k8s.V1Pod, request: PodRequest, standing: StandingRequest) -> k8s.V1Pod:
    """The pod of a service: the helper stages the files and ends, then the user's container starts, and stays."""
    pod = _with_base(pod, request, standing)
    spec: k8s.V1PodSpec = pod.spec
    helper = _helper(request, standing, "stage")
    spec.init_containers = [helper, *(spec.init_containers or [])]
    return pod


def spout_pod(pod: k8s.V1Pod, request: PodRequest, standing: StandingRequest) -> k8s.V1Pod:
    """The pod of a spout: the helper reads beside the user's container what that writes."""
    pod = _with_base(pod, request, standing)
    spec: k8s.V1PodSpec = pod.spec
    helper = _helper(request, standing, "spout")
    place = deepcopy(helper)
    place.name, place.args, place.env_from = "place", ["place"], None
    spec.containers = [spec.containers[0], helper, *spec.containers[1:]]
    spec.init_containers = [place, *(spec.init_containers or [])]
    return pod


def deployment(pod: k8s.V1Pod, standing: StandingRequest) -> k8s.V1Deployment:
    """The Deployment of a pod from `service_pod` or `spout_pod`, with its changes."""
    template = k8s.V1PodTemplateSpec(metadata=_metadata(pod, standing), spec=pod.spec)
    rolling = k8s.V1RollingUpdateDeployment(max_surge=1, max_unavailable=0)
    return k8s.V1Deployment(
        api_version="apps/v1",
        kind="Deployment",
        metadata=k8s.V1ObjectMeta(
            name=standing.name,
            namespace=pod.metadata.namespace,
            labels={STANDING_LABEL: standing.name},
            annotations=_facts(standing),
        ),
        spec=k8s.V1DeploymentSpec(
            replicas=1,
            selector=k8s.V1LabelSelector(match_labels={STANDING_LABEL: standing.name}),
            template=template,
            strategy=k8s.V1DeploymentStrategy(
                type="RollingUpdate" if standing.rolling else "Recreate",
                rolling_update=rolling if standing.rolling else None,
            ),
            revision_history_limit=1,
            progress_deadline_seconds=standing.ready_seconds,
        ),
    )


def front(namespace: str, standing: StandingRequest) -> k8s.V1Service:
    """The Kubernetes Service before the pod. Its port is the external one, as with Pachyderm."""
    service = standing.service
    assert service is not None
    port = k8s.V1ServicePort(
        name=PORT_NAME, port=service.external_port or service.internal_port, target_port=service.internal_port
    )
    if service.type == "NodePort" and service.external_port:
        port.node_port = service.external_port
    return k8s.V1Service(
        api_version="v1",
        kind="Service",
        metadata=k8s.V1ObjectMeta(
            name=standing.name,
            namespace=namespace,
            labels={STANDING_LABEL: standing.name},
            annotations={**service.annotations, **standing.owner},
        ),
        spec=k8s.V1ServiceSpec(
            type=service.type,
            ports=[port],
            selector={STANDING_LABEL: standing.name},
            cluster_ip=service.ip or None,
        ),
    )


def literal(text: str) -> str:
    """A word of a container's command or environment as Kubernetes leaves it alone: it would replace `$(NAME)`."""
    return text.replace("$", "$$")


def fed_command(command: Sequence[str], stdin: str | None) -> list[str]:
    """The command, with its standard input from the file `stdin` if there is one."""
    if stdin is None:
        return list(command)
    # The user's image may have no shell.
    return [f"{PFS_PATH}/.pfs/busybox", "sh", "-c", 'file=$1; shift; exec "$@" <"$file"', "pfs", stdin, *command]


def _with_base(pod: k8s.V1Pod, request: PodRequest, standing: StandingRequest) -> k8s.V1Pod:
    pod = deepcopy(pod)
    spec: k8s.V1PodSpec = pod.spec
    base: k8s.V1Container = spec.containers[0]
    base.name = BASE
    base.command, base.args = [literal(word) for word in standing.command], None
    base.working_dir = standing.working_dir
    # What code of a spout calls the repo that it puts files into.
    env = {**standing.env, "PPS_PIPELINE_NAME": standing.pipeline}
    own = [k8s.V1EnvVar(name=name, value=literal(value)) for name, value in env.items()]
    base.env = [*(base.env or []), *own]
    base.volume_mounts = [*(base.volume_mounts or []), k8s.V1VolumeMount(name=PFS_VOLUME, mount_path=PFS_PATH)]
    if request.restricted:
        base.security_context = filled(base.security_context, restricted(None, read_only_root=None))
    if standing.service is not None:
        port = standing.service.internal_port
        base.ports = [*(base.ports or []), k8s.V1ContainerPort(container_port=port, protocol="TCP")]
        base.readiness_probe = base.readiness_probe or k8s.V1Probe(
            tcp_socket=k8s.V1TCPSocketAction(port=port), period_seconds=2, failure_threshold=3
        )
    spec.volumes = [
        *(spec.volumes or []),
        empty_dir(PFS_VOLUME, request.volume_bytes),
        empty_dir(SCRATCH_VOLUME, SCRATCH_BYTES),
    ]
    spec.automount_service_account_token = False
    spec.restart_policy = "Always"
    return pod


def _helper(request: PodRequest, standing: StandingRequest, role: str) -> k8s.V1Container:
    mounts = [
        k8s.V1VolumeMount(name=PFS_VOLUME, mount_path=PFS_PATH),
        k8s.V1VolumeMount(name=SCRATCH_VOLUME, mount_path=SCRATCH_PATH),
    ]
    helper = helper_container(request, mounts)
    helper.name, helper.args = HELPER, [role]
    helper.env = [*helper.env, *(k8s.V1EnvVar(name=key, value=literal(it)) for key, it in standing.settings.items())]
    return helper


def _metadata(pod: k8s.V1Pod, standing: StandingRequest) -> k8s.V1ObjectMeta:
    given: k8s.V1ObjectMeta = pod.metadata
    return k8s.V1ObjectMeta(
        labels={**(given.labels or {}), STANDING_LABEL: standing.name},
        annotations={**(given.annotations or {}), **_facts(standing), SKIP_IDENTITY_ANNOTATION: BASE},
    )


def _facts(standing: StandingRequest) -> dict[str, Any]:
    commits = {COMMITS_ANNOTATION: json.dumps(dict(standing.commits), sort_keys=True)} if standing.commits else {}
    return {**standing.owner, VERSION_ANNOTATION: str(standing.version), **commits}
