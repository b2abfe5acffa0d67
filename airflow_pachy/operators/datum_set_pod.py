"""A datum set in a pod: `KubernetesPodOperator` with our helper beside the user's container.

Never imported by a DAG file: `DatumSetOperator` makes one when it runs, and hands over to it. What it changes:

* the pod gets the helper, its volume and the shim that starts the user's command (`build_pod_request_obj`);
* the task ends as the result records say, whatever exit codes and phases say (`cleanup`);
* the wait for the whole pod happens in the triggerer (`defer`), also while the helper still uploads.

`do_xcom_push` stays off: with it, Airflow waits for the base container only, and deletes the pod under a
helper that still uploads.
"""

from __future__ import annotations

import inspect
import os
import re
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.secret import Secret
from kubernetes.client import models as k8s
from kubernetes.client.exceptions import ApiException

from airflow_pachy.hooks.airflow_errors import AirflowException, AirflowFailException
from airflow_pachy.operators.datum_set import conclude
from airflow_pachy.operators.failures import short_errors
from airflow_pachy.pfs.settings import s3_from
from airflow_pachy.triggers.pods import DatumSetPodTrigger
from airflow_pachy.worker.outcome import new_attempt

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

    from airflow_pachy.hooks.pfs import PfsHook
    from airflow_pachy.hooks.settings import PachySettings
    from airflow_pachy.operators.datum_set import DatumSetOperator
    from airflow_pachy.pods.request import PodRequest

HELPER_LOG_LINES = 50
DEFAULTS: dict[str, Any] = {
    # Downloads happen while the pod runs, so a pod that does not start has an image or a capacity problem.
    "startup_timeout_seconds": 600,
    "startup_check_interval_seconds": 1,
    # Each look would list all events of the namespace, times as many as there are sets.
    "log_events_on_startup": False,
    "log_pod_spec_on_failure": False,
    "automount_service_account_token": False,
    "get_logs": True,
}


_PLAN_KEY = re.compile(r"jobs/(?P<job>[^/]+)/plan/\d+-(?P<number>\d+)\.json$")


class DatumSetPodOperator(KubernetesPodOperator):
    """Runs one datum set for a `DatumSetOperator`; not for use in a DAG."""

    def __init__(self, *, plan_key: str, pfs_hook: PfsHook, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan_key = plan_key
        self.pfs_hook = pfs_hook
        self._ended_because = ""
        self._complete = False
        self._try_number = 1

    @classmethod
    def of_task(cls, task: DatumSetOperator, hook: PfsHook) -> Self:
        """The operator for a mapped task. Raises `AirflowFailException` for arguments that cannot make a pod."""
        settings = hook.settings
        if not task.image:
            raise AirflowFailException("image is required by the kubernetes runner: give DatumMapOperator(image=...)")
        connection = task.kubernetes_conn_id or settings.kubernetes_conn_id
        arguments = {
            **DEFAULTS,
            "name": pod_name(task.plan_key),
            "namespace": configured("namespace", settings.namespace),
            "service_account_name": settings.service_account_name,
            **({"kubernetes_conn_id": connection} if connection else {}),
            **task.pod,
            "task_id": task.task_id,
            "image": task.image,
            "container_resources": _resources(task.container_resources),
            "secrets": [_secret(one) for one in task.secrets],
            "deferrable": task.deferrable,
            "do_xcom_push": False,
            "execution_timeout": task.execution_timeout,
        }
        known = _known_arguments()
        if unknown := sorted(set(task.pod) - known):
            raise AirflowFailException(f"pod has arguments that KubernetesPodOperator does not know: {unknown}")
        arguments = {name: value for name, value in arguments.items() if name in known}
        return cls(plan_key=task.plan_key, pfs_hook=hook, **arguments)

    def run(self, context: Context) -> None:
        """What `execute` does, which Airflow reserves for the task it started."""
        self._try_number = context["ti"].try_number
        self.name = self._set_name(self.name)
        if self.deferrable:
            self.execute_async(context)
        else:
            try:
                self.execute_sync(context)
            except AirflowException:
                # A complete set is a success, however its pod ended.
                if not self._complete:
                    raise

    def build_pod_request_obj(self, context: Context | None = None, **kwargs: Any) -> k8s.V1Pod:
        """The pod that the arguments describe, with the helper beside the user's container."""
        from airflow_pachy.pods.parts import add_to_pod, build_pod_parts

        pod = super().build_pod_request_obj(context, **kwargs)
        request = pod_request(
            self.pfs_hook.settings, self.plan_key, attempt=_attempt(context), pull=self.image_pull_policy
        )
        return add_to_pod(pod, build_pod_parts(request))

    def defer(
        self,
        *,
        trigger: Any,
        method_name: str,  # noqa: ARG002 - the task that resumes is DatumSetOperator
        kwargs: dict[str, Any] | None = None,
        timeout: timedelta | float | None = None,
    ) -> Any:
        """Wait for the whole pod; the mapped task resumes with its own method."""
        super().defer(trigger=DatumSetPodTrigger.like(trigger), method_name="resume", kwargs=kwargs, timeout=timeout)

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> None:
        """Go on after the pod's end: get the logs, read the records, delete the pod."""
        self._ended_because = event.get("message", "")
        self._try_number = context["ti"].try_number
        # Exit codes are for `cleanup` to weigh against the records; on its own a failed container says too little.
        seen = {**event, "status": "success"} if event["status"] == "failed" else event
        try:
            super().trigger_reentry(context, seen)
        except AirflowException:
            if not self._complete:
                raise
        if not self._complete:
            # The pod was deleted by somebody before it could be looked at.
            self._conclude(f"pod {event['name']} was gone before its end was seen")

    def cleanup(
        self,
        pod: k8s.V1Pod,  # noqa: ARG002 - the signature is the base class's
        remote_pod: k8s.V1Pod,
        xcom_result: dict[str, Any] | None = None,  # noqa: ARG002 - as above
        context: Context | None = None,  # noqa: ARG002 - as above
    ) -> None:
        """Delete or mark the pod, and end the task as the records demand."""
        from airflow_pachy.pods.status import VerdictKind, read_pod

        if self._killed or not remote_pod:
            return
        verdict = read_pod(remote_pod)
        if verdict.kind is VerdictKind.INFRASTRUCTURE:
            self._log_helper(remote_pod)
        self.patch_already_checked(remote_pod, reraise=False)
        self.process_pod_deletion(remote_pod, reraise=False)
        message = verdict.message
        if verdict.kind is VerdictKind.RUNNING:
            message = self._ended_because or f"{message}, and did not start or end in time"
        self._conclude(f"pod {remote_pod.metadata.name}: {message}", final=verdict.kind is VerdictKind.MISCONFIGURED)

    def _log_helper(self, pod: k8s.V1Pod) -> None:
        """The end of the helper's log, which goes with the pod and holds what its exit code cannot say."""
        from airflow_pachy.pods.parts import HELPER

        try:
            text = self.client.read_namespaced_pod_log(
                pod.metadata.name, pod.metadata.namespace, container=HELPER, tail_lines=HELPER_LOG_LINES
            )
        except ApiException as error:
            self.log.warning("The helper's log cannot be read: %s", error.reason)
            return
        for line in text.splitlines():
            self.log.warning("[%s] %s", HELPER, line)

    def _conclude(self, reason: str, *, final: bool = False) -> None:
        from airflow_pachy.operators.report import read_report
        from airflow_pachy.worker.plan import read_plan

        with short_errors(), self.pfs_hook.get_conn() as pfs:
            report = read_report(pfs.store, read_plan(pfs.store, self.plan_key), self._try_number)
        conclude(self.log, report, reason, final=final)
        self._complete = True


def pod_request(settings: PachySettings, plan_key: str, *, attempt: str, pull: str | None = None) -> PodRequest:
    """What the helper container needs to know. Raises `AirflowFailException` when no helper image is configured."""
    from airflow_pachy.pods.request import PodRequest

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
        image_pull_policy=pull,
    )


def pod_name(plan_key: str) -> str:
    """`pachy-<job>-<set>`, to which Airflow adds a random end."""
    match = _PLAN_KEY.search(plan_key)
    return f"pachy-{match['job'][:12]}-{int(match['number'])}" if match else "pachy-set"


def configured(name: str, value: str | None) -> str | None:
    """The connection's value, else that of `[pachy]` in Airflow's configuration."""
    from airflow_pachy.hooks.airflow_config import conf

    return value or conf.get("pachy", name, fallback="") or None


def _attempt(context: Context | None) -> str:
    return new_attempt(context["ti"].try_number if context else 1)


def _known_arguments() -> set[str]:
    return {
        name
        for cls in KubernetesPodOperator.__mro__
        if "__init__" in vars(cls)
        for name in inspect.signature(vars(cls)["__init__"]).parameters
    }


def _resources(value: Any) -> k8s.V1ResourceRequirements | None:
    if value is None or isinstance(value, k8s.V1ResourceRequirements):
        return value
    unknown = set(value) - {"requests", "limits", "claims"}
    if unknown:
        raise AirflowFailException(f"container_resources has requests and limits, not {sorted(unknown)}")
    return k8s.V1ResourceRequirements(**value)


def _secret(value: Any) -> Secret:
    """A `Secret` of the Kubernetes provider; may be given as in pipeline specs, with mount_path, or env_var and key."""
    if isinstance(value, Secret):
        return value
    kind, target = ("env", value["env_var"]) if value.get("env_var") else ("volume", value["mount_path"])
    return Secret(kind, target, value["name"], value.get("key"))  # type: ignore[no-untyped-call]  # the provider's
