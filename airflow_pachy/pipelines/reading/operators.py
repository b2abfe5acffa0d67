"""A pipeline spec as arguments of `DatumMapOperator`: what is the pod's goes into `pod`, in the provider's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.pipelines.resources import Resources
    from airflow_pachy.pipelines.spec import PipelineSpec

DEFAULT_IMAGE = "ubuntu:20.04"
"""What Pachyderm runs code in that names no image."""

_SHARED_MEMORY: tuple[dict[str, Any], ...] = (
    {"op": "add", "path": "/volumes/-", "value": {"name": "dshm", "emptyDir": {"medium": "Memory"}}},
    {"op": "add", "path": "/containers/0/volumeMounts/-", "value": {"name": "dshm", "mountPath": "/dev/shm"}},  # noqa: S108 - the container's
)


def operator_arguments(spec: PipelineSpec, *, nodes: int | None = None) -> dict[str, Any]:
    """The arguments, all plain values; `nodes` is the size of the cluster, for a parallelism that depends on it.

    Always the same names, besides `incremental`, `egress`, `service`, `spout`, `salt` and `user`, which are there if
    the spec has them. `pod` may have, beyond the arguments of KubernetesPodOperator: `pod_spec` and `pod_patch`,
    changes of the finished pod (`patch_pod_spec`), and `helper_resources` of the helper container.
    """
    transform = spec.transform
    return {
        "pipeline": spec.name,
        "input": spec.input.to_spec(),
        "output": spec.output,
        "image": transform.image or DEFAULT_IMAGE,
        "cmds": list(transform.cmd),
        "stdin": list(transform.stdin),
        "env_vars": dict(transform.env),
        "secrets": [secret.model_dump(exclude_none=True) for secret in transform.secrets],
        "accept_return_codes": list(transform.accept_return_code),
        "err_cmd": list(transform.err_cmd),
        "err_stdin": list(transform.err_stdin),
        "working_dir": transform.working_dir,
        "batch": transform.batch,
        "container_resources": _resources(spec.resource_requests, spec.resource_limits),
        "datum_tries": spec.datum_tries,
        "datum_timeout": spec.datum_timeout,
        "job_timeout": spec.job_timeout,
        "datum_set": spec.datum_set_spec,
        "parallelism": spec.parallelism_spec.pods(nodes),
        "on_collision": spec.on_collision,
        "reprocess": spec.reprocess_spec == "every_job",
        "code_version": spec.code_version,
        "enable_stats": spec.enable_stats,
        "pod": _pod(spec),
        **_unusual(spec),
    }


def _unusual(spec: PipelineSpec) -> dict[str, Any]:
    named = {
        "incremental": spec.incremental,
        "egress": spec.egress.model_dump(mode="json", exclude_defaults=True) if spec.egress else None,
        "service": spec.service.model_dump(mode="json", exclude_defaults=True) if spec.service else None,
        "spout": spec.spout.model_dump(mode="json", exclude_defaults=True) if spec.spout is not None else None,
        "salt": spec.salt,
        "user": spec.transform.user,
    }
    # An empty object is a spout too.
    return {name: value for name, value in named.items() if value or (name == "spout" and value is not None)}


def _pod(spec: PipelineSpec) -> dict[str, Any]:
    transform, scheduling = spec.transform, spec.scheduling_spec
    named = {
        "labels": dict(spec.metadata.labels),
        "annotations": dict(spec.metadata.annotations),
        "node_selector": dict(scheduling.node_selector),
        "priority_class_name": scheduling.priority_class_name,
        "tolerations": [toleration.to_kubernetes() for toleration in spec.tolerations],
        "image_pull_secrets": list(transform.image_pull_secrets),
        "pod_spec": dict(spec.pod_spec),
        "pod_patch": [*_shared_memory(spec), *(dict(operation) for operation in spec.pod_patch)],
        "helper_resources": _resources(spec.sidecar_resource_requests, spec.sidecar_resource_limits),
    }
    return {name: value for name, value in named.items() if value}


def _shared_memory(spec: PipelineSpec) -> Sequence[dict[str, Any]]:
    return _SHARED_MEMORY if spec.transform.memory_volume else ()


def _resources(requests: Resources | None, limits: Resources | None) -> dict[str, dict[str, str]] | None:
    sides = {"requests": requests, "limits": limits}
    found = {side: resources.amounts() for side, resources in sides.items() if resources is not None}
    return {side: amounts for side, amounts in found.items() if amounts} or None
