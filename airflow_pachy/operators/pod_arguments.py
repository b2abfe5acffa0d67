"""What the pod of a datum set is made from: the mapped task's arguments, the connection and Airflow's configuration.

Never imported by a DAG file, since it needs the Kubernetes client.
"""

from __future__ import annotations

import inspect
import json
import os
from typing import TYPE_CHECKING, Any, Protocol

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.secret import Secret
from kubernetes.client import models as k8s
from kubernetes.utils.quantity import parse_quantity

from airflow_pachy.hooks.airflow_errors import AirflowFailException
from airflow_pachy.pfs.objects.s3_settings import to_environment
from airflow_pachy.pfs.settings import s3_from
from airflow_pachy.pods.patching import CHANGES, PodChanges
from airflow_pachy.pods.request import GIB, HELPER_MEMORY, HELPER_USER, PodRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow_pachy.hooks.settings import PachySettings

DEFAULTS: dict[str, Any] = {
    # Downloads happen while the pod runs, so a pod that does not start has an image or a capacity problem.
    "startup_timeout_seconds": 600,
    # Each look would list all events of the namespace, times as many as there are sets.
    "log_events_on_startup": False,
    "log_pod_spec_on_failure": False,
    "get_logs": True,
}
# What holds in a pod as well as here. Credentials are the pod's own, and so are files such as CA bundles.
POD_S3 = (
    "sse", "sse_kms_key_id", "requester_pays", "connect_timeout", "read_timeout", "max_attempts", "retry_mode",
)  # fmt: skip
VOLUME_BYTES = 20 * GIB
"""The size of /pfs when the user's container says nothing of ephemeral-storage."""


class PodTask(Protocol):
    """What an operator says of the pod it wants."""

    task_id: str
    image: str
    kubernetes_conn_id: str | None
    secrets: Sequence[Any]
    container_resources: Any
    user: str | None
    pod: Mapping[str, Any]
    deferrable: bool
    execution_timeout: timedelta | None


def pod_arguments(task: PodTask, settings: PachySettings) -> dict[str, Any]:
    """The arguments of KubernetesPodOperator for a mapped task.

    Raises `AirflowFailException` for arguments that cannot make a pod.
    """
    if not task.image:
        raise AirflowFailException("image is required by the kubernetes runner: give the operator image=...")
    connection = task.kubernetes_conn_id or settings.kubernetes_conn_id
    known = _known_arguments()
    given = {name: value for name, value in task.pod.items() if name not in CHANGES}
    if unknown := sorted(set(given) - known):
        raise AirflowFailException(f"pod has arguments that KubernetesPodOperator does not know: {unknown}")
    if "image_pull_secrets" in given:
        given["image_pull_secrets"] = _pull_secrets(given["image_pull_secrets"])
    if task.user:
        given["container_security_context"] = _as_user(task.user, given.get("container_security_context"))
    arguments = {
        **DEFAULTS,
        "namespace": configured("namespace", settings.namespace),
        "service_account_name": settings.service_account_name,
        **({"kubernetes_conn_id": connection} if connection else {}),
        **given,
        "task_id": task.task_id,
        "image": task.image,
        "container_resources": resources(task.container_resources),
        "env_vars": _secret_variables(task.secrets),
        "secrets": _other_secrets(task.secrets),
        "deferrable": task.deferrable,
        "do_xcom_push": False,
        "execution_timeout": task.execution_timeout,
        "random_name_suffix": False,
        "automount_service_account_token": False,
    }
    return {name: value for name, value in arguments.items() if name in known}


def pod_changes(task: PodTask) -> PodChanges:
    """What the author changes in the finished pod."""
    return PodChanges(**{name: value for name, value in task.pod.items() if name in CHANGES})


def pod_request(
    settings: PachySettings,
    plan_key: str,
    *,
    attempt: str,
    pull: str | None = None,
    user_resources: k8s.V1ResourceRequirements | None = None,
    sidecar: bool = False,
) -> PodRequest:
    """What the helper container needs to know. Raises `AirflowFailException` when no helper image is configured."""
    image = configured("helper_image", settings.helper_image)
    if not image:
        raise AirflowFailException(
            "no helper image is configured: set helper_image of the connection, or [pachy] helper_image, to the image "
            "built from airflow_pachy/worker (make helper-image)"
        )
    s3 = {**s3_from(os.environ), **settings.s3}
    return PodRequest(
        helper_image=image,
        storage=settings.effective_storage,
        set_plan=plan_key,
        attempt=attempt,
        credentials_secret=configured("worker_secret", settings.worker_secret),
        s3_endpoint=settings.worker_endpoint_url or s3.get("endpoint_url"),
        s3_region=s3.get("region_name"),
        s3_addressing_style=s3.get("addressing_style"),
        volume_bytes=volume_bytes(user_resources),
        image_pull_policy=pull,
        helper_memory_limit=configured("helper_memory", None) or HELPER_MEMORY,
        helper_env={**to_environment({name: s3[name] for name in POD_S3 if name in s3}), **_helper_env()},
        helper_user=_helper_user(),
        kill_grace_seconds=_kill_grace(),
        sidecar=sidecar,
        restricted=_choice("pod_security", ("", "restricted")) == "restricted",
    )


def volume_bytes(requirements: k8s.V1ResourceRequirements | None) -> int:
    """The size of /pfs: the ephemeral-storage of the user's container, whose files all lie there."""
    for side in (requirements.limits, requirements.requests) if requirements is not None else ():
        amount = (side or {}).get("ephemeral-storage")
        if amount is not None:
            try:
                return int(parse_quantity(amount))
            except ValueError as error:
                raise AirflowFailException(f"container_resources: ephemeral-storage {amount!r}: {error}") from error
    return VOLUME_BYTES


def configured(name: str, value: str | None) -> str | None:
    """The connection's value, else that of `[pachy]` in Airflow's configuration."""
    from airflow_pachy.hooks.airflow_config import conf

    return value or conf.get("pachy", name, fallback="") or None


def wanted_shape() -> str:
    """`[pachy] pod_shape`: auto, classic or sidecar."""
    return _choice("pod_shape", ("auto", "classic", "sidecar"))


def resources(value: Any) -> k8s.V1ResourceRequirements | None:
    """`V1ResourceRequirements`, also from a dict with requests and limits. Raises `AirflowFailException`."""
    if value is None or isinstance(value, k8s.V1ResourceRequirements):
        return value
    unknown = set(value) - {"requests", "limits", "claims"}
    if unknown:
        raise AirflowFailException(f"container_resources has requests and limits, not {sorted(unknown)}")
    return k8s.V1ResourceRequirements(**value)


def _choice(name: str, choices: Sequence[str]) -> str:
    value = configured(name, None) or choices[0]
    if value not in choices:
        raise AirflowFailException(f"[pachy] {name} is {value!r}; use one of {', '.join(filter(None, choices))}")
    return value


def _helper_env() -> Mapping[str, str]:
    text = configured("helper_env", None)
    try:
        found = json.loads(text) if text else {}
        return {str(name): str(value) for name, value in found.items()}
    except (ValueError, AttributeError) as error:
        raise AirflowFailException(
            '[pachy] helper_env is not a JSON object of strings, such as {"HTTPS_PROXY": "http://proxy:3128"}: '
            f"{error}"
        ) from error


def _helper_user() -> int | None:
    text = configured("helper_user", None)
    if text is None:
        return HELPER_USER
    if text == "cluster":
        return None
    if not text.isdigit() or int(text) == 0:
        raise AirflowFailException(
            f"[pachy] helper_user is {text!r}; use a number above 0, or 'cluster' to let the cluster choose"
        )
    return int(text)


def _kill_grace() -> int:
    text = configured("kill_grace_seconds", None) or "10"
    if not text.isdigit():
        raise AirflowFailException(f"[pachy] kill_grace_seconds is {text!r}; use a whole number of seconds")
    return int(text)


def _known_arguments() -> set[str]:
    return {
        name
        for cls in KubernetesPodOperator.__mro__
        if "__init__" in vars(cls)
        for name in inspect.signature(vars(cls)["__init__"]).parameters
    }


def _pull_secrets(value: Any) -> list[k8s.V1LocalObjectReference]:
    """Names of secrets, as in pipeline specs, or the objects that the Kubernetes provider wants."""
    names = value.split(",") if isinstance(value, str) else value
    return [k8s.V1LocalObjectReference(name=one.strip()) if isinstance(one, str) else one for one in names]


def _as_user(user: str, given: Any) -> k8s.V1SecurityContext:
    """A security context with the user's uid, and gid if there is one."""
    from airflow_pachy.operators.datum_set import user_numbers

    uid, gid = user_numbers(user)
    if given is None:
        given = k8s.V1SecurityContext()
    if isinstance(given, dict):
        raise AirflowFailException(
            "pod: write container_security_context as a V1SecurityContext of the Kubernetes client to use it with user"
        )
    given.run_as_user = uid
    if gid is not None:
        given.run_as_group = gid
    return given


def _secret_variables(secrets: Sequence[Any]) -> list[k8s.V1EnvVar]:
    """Secrets of pipeline specs that are variables; Airflow's `Secret` would turn their names into capitals."""
    return [
        k8s.V1EnvVar(
            name=one["env_var"],
            value_from=k8s.V1EnvVarSource(
                secret_key_ref=k8s.V1SecretKeySelector(name=one["name"], key=one.get("key") or one["env_var"])
            ),
        )
        for one in secrets
        if not isinstance(one, Secret) and one.get("env_var")
    ]


def _other_secrets(secrets: Sequence[Any]) -> list[Secret]:
    """`Secret` objects as they are, and secrets of pipeline specs that are directories."""
    found = []
    for one in secrets:
        if isinstance(one, Secret):
            found.append(one)
        elif one.get("mount_path"):
            found.append(Secret("volume", one["mount_path"], one["name"]))  # type: ignore[no-untyped-call]  # the provider's
        elif not one.get("env_var"):
            raise AirflowFailException(f"secret {one.get('name')!r} has neither mount_path nor env_var")
    return found
