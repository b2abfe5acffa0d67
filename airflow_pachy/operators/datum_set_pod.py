"""A datum set in a pod: `KubernetesPodOperator` with our helper beside the user's container.

Never imported by a DAG file: `DatumSetOperator` makes one when it runs, and hands over to it. The base class
understands the arguments, builds the user's pod and talks to Kubernetes; what becomes of the pod is decided here:

* its name says which set, try and replacement it is, so that creating it twice finds the first (`_create`);
* waiting is for the helper too, in the triggerer or here, by the same look (`pods.watching`);
* the task ends as the result records say, whatever exit codes and phases say;
* a lost pod is replaced within the same try, on a budget that is not the user's `retries`;
* a task that is told to end makes no pod any more: Airflow gives its process some seconds after `on_kill`, in which the
  pod that has just been deleted would look lost.
"""

from __future__ import annotations

import threading
import time
from contextvars import copy_context
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from kubernetes.client import VersionApi
from kubernetes.client.exceptions import ApiException

from airflow_pachy.errors import InvalidSpec, PachyError
from airflow_pachy.hooks.airflow_errors import AirflowException, AirflowFailException
from airflow_pachy.operators.datum_set import conclude
from airflow_pachy.operators.failures import short_errors
from airflow_pachy.operators.pod_arguments import pod_arguments, pod_changes, pod_request, wanted_shape
from airflow_pachy.operators.pod_connection import connection_extras
from airflow_pachy.operators.pod_finding import (
    PodInvalid,
    belongs_to_later_try,
    create_or_adopt,
    delete,
    delete_all,
    find_running,
    read,
)
from airflow_pachy.operators.pod_logs import follow_logs, log_helper, write_logs
from airflow_pachy.operators.report import SetReport, read_report
from airflow_pachy.pods.names import ATTEMPT_ANNOTATION, PREFIX, SetName
from airflow_pachy.pods.parts import add_to_pod, build_pod_parts
from airflow_pachy.pods.patching import PodChanges, change_pod
from airflow_pachy.pods.shape import knows_sidecars, lost_its_sidecar
from airflow_pachy.pods.status import Verdict, VerdictKind, container_statuses, read_pod, waits_for_image
from airflow_pachy.pods.watching import End, Finding, Limits, look, pause_seconds
from airflow_pachy.triggers.pods import DatumSetPodTrigger
from airflow_pachy.worker.outcome import new_attempt
from airflow_pachy.worker.plan import read_plan

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client import models as k8s

    from airflow_pachy.hooks.pfs import PfsHook
    from airflow_pachy.operators.datum_set import DatumSetOperator

LOG_PATIENCE_SECONDS = 15
LONGEST_PAUSE_SECONDS = 30
MAX_API_ERRORS = 10
KUBECONFIG_EXTRAS = ("in_cluster", "kube_config", "kube_config_path")
"""Ways of a connection to say where Kubernetes is; the triggerer's hook refuses a second one, such as KUBECONFIG."""


class DatumSetPodOperator(KubernetesPodOperator):
    """Runs one datum set for a `DatumSetOperator`; not for use in a DAG."""

    def __init__(
        self, *, plan_key: str, pfs_hook: PfsHook, stop: threading.Event, budget: int = 5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.plan_key = plan_key
        self.pfs_hook = pfs_hook
        self.stop = stop
        self.budget = budget
        self.changes = PodChanges()
        self.lost = 0
        self.try_number = 1
        self.sidecar = False
        self._prefix = self.name or PREFIX
        self._variables = list(self.env_vars or [])
        self._attempt = ""
        self._patient_pulls = False
        self._api_errors = 0

    @classmethod
    def of_task(cls, task: DatumSetOperator, hook: PfsHook) -> Self:
        """The operator for a mapped task. Raises `AirflowFailException` for arguments that cannot make a pod."""
        from airflow_pachy.hooks.airflow_config import conf

        budget = conf.getint("pachy", "infrastructure_retries", fallback=5)
        operator = cls(
            plan_key=task.plan_key,
            pfs_hook=hook,
            stop=task.stop,
            budget=budget,
            **pod_arguments(task, hook.settings),
        )
        operator.changes = pod_changes(task)
        return operator

    def run(self, context: Context) -> None:
        """Process the set. What `execute` does, which Airflow reserves for the task it started; may defer."""
        self.try_number = context["ti"].try_number
        self.sidecar = self._wants_sidecar()
        pod = self._find_running()
        if pod is None and self._is_too_late():
            return
        self._follow(context, pod or self._create(context))

    def resume(self, context: Context, event: dict[str, Any]) -> None:
        """Go on after the trigger has fired; its event has what `run` knew."""
        state = event["state"]
        self.try_number = context["ti"].try_number
        self.sidecar = self._wants_sidecar()
        self.lost, self._attempt = state["lost"], state["attempt"]
        self._patient_pulls, self._api_errors = state["patient_pulls"], state["api_errors"]
        if event["status"] == "error":
            # The API was away, not the pod: look again.
            self._api_errors += 1
            if self._api_errors > MAX_API_ERRORS:
                raise AirflowException(f"pod {event['name']} cannot be watched: {event['message']}")
            self.log.warning("Pod %s could not be watched (%s), trying again", event["name"], event["message"])
            finding = None
        else:
            finding = Finding(End(event["status"]), event.get("message") or "")
        self.pod = read(self.client, event["name"], event["namespace"])
        if self.pod is None:
            finding = finding or Finding(End.LOST, "it is gone")
        if finding is None or not self._finish(context, event["name"], finding, since=event.get("last_log_time")):
            self._follow(context, self.pod or self._create(context))

    def on_kill(self) -> None:
        """Delete the pod, unless a later try of the task has taken it over: then this process is the leftover.

        A scheduler that has died and come back starts its tasks anew, while their old processes may live on.
        Called by the handler of a signal: what it has interrupted goes on afterwards, and ends at `_go_on`.
        """
        self.stop.set()
        if self._is_leftover():
            self.log.info("Leaving the pod to a later try of this task")
        else:
            super().on_kill()

    def _is_leftover(self) -> bool:
        if self.pod is None:
            return False
        try:
            pod = read(self.client, self.pod.metadata.name, self.pod.metadata.namespace)
        except ApiException as error:
            self.log.warning("Pod %s cannot be read: %s", self.pod.metadata.name, error.reason)
            return False
        return pod is not None and belongs_to_later_try(pod, self.try_number)

    def _go_on(self) -> None:
        """Raise `AirflowException` when the task has been told to end."""
        if self.stop.is_set():
            raise AirflowException("the task was told to end, so its pod is not waited for any more, nor replaced")

    def _is_too_late(self) -> bool:
        """Whether the job's time is up and the set is done all the same; raises when it is not done.

        A pod would only say so. Stages with a job_timeout have an execution_timeout.
        """
        if self.execution_timeout is None:
            return False
        with short_errors(), self.pfs_hook.get_conn() as pfs:
            plan = read_plan(pfs.store, self.plan_key)
            late = plan.time_is_up(time.time())
            if not late:
                return False
            report = read_report(pfs.store, plan, self.try_number)
        conclude(self.log, report, late, final=True)
        return True

    # Making pods

    def build_pod_request_obj(self, context: Context | None = None, **kwargs: Any) -> k8s.V1Pod:
        """The pod that the arguments describe, with the helper beside the user's container."""
        try_number = context["ti"].try_number if context else 1
        named = SetName.of_plan(self.plan_key)
        if named is None:
            raise AirflowFailException(f"{self.plan_key!r} is no set plan: map this task over plan's output")
        self.name = named.pod_name(try_number, self.lost, self._prefix)
        self.labels = {**(self.labels or {}), **named.labels}
        self.env_vars = list(self._variables)  # the base class extends it each time
        pod = super().build_pod_request_obj(context, **kwargs)
        base = pod.spec.containers[0]
        request = pod_request(
            self.pfs_hook.settings,
            self.plan_key,
            attempt=new_attempt(try_number),
            pull=base.image_pull_policy,
            user_resources=base.resources,
            sidecar=self.sidecar,
        )
        try:
            return change_pod(add_to_pod(pod, build_pod_parts(request)), self.changes)
        except InvalidSpec as error:
            raise AirflowFailException(str(error)) from error

    def _wants_sidecar(self) -> bool:
        shape = wanted_shape()
        if shape != "auto":
            return shape == "sidecar"
        try:
            return knows_sidecars(VersionApi(self.client.api_client).get_code())
        except ApiException as error:
            self.log.warning("The Kubernetes version cannot be asked (%s): using the classic pod", error.reason)
            return False

    def _find_running(self) -> k8s.V1Pod | None:
        """A pod of this set that an earlier try left running: a worker died, the pod did not."""
        named = SetName.of_plan(self.plan_key)
        if self.try_number == 1 or not self.reattach_on_restart or named is None:
            return None
        return find_running(self.client, self._namespace(), named.labels, self.try_number, keep_ended=self._keep_ended)

    def _namespace(self) -> str:
        return self.namespace or self.hook.get_namespace() or self._incluster_namespace or "default"

    def _create(self, context: Context) -> k8s.V1Pod:
        """A new pod, or the one that was created under its name before."""
        self._go_on()
        request = self.build_pod_request_obj(context)
        self.pod_request_obj = request
        self._call("on_pod_manifest_created", pod_request=request, context=context)
        created = self._with_sidecar(request) if self.sidecar else create_or_adopt(self.client, request)
        if created is None:
            self.log.warning("This cluster has no native sidecars: making a classic pod instead of %s", self.name)
            self.sidecar = False
            request = self.build_pod_request_obj(context)
            request.metadata.name = f"{request.metadata.name}-c"
            self.pod_request_obj = request
            created = create_or_adopt(self.client, request)
        self.pod = created
        if self.stop.is_set():
            self.on_kill()  # the signal came while the pod was being made
        self._go_on()
        self._call("on_pod_creation", pod=created, context=context)
        return created

    def _with_sidecar(self, request: k8s.V1Pod) -> k8s.V1Pod | None:
        """The pod, None when the API server refuses native sidecars, or makes ordinary init containers of them."""
        try:
            created = create_or_adopt(self.client, request)
        except PodInvalid as error:
            if "initContainers" not in str(error):
                raise
            return None
        if not lost_its_sidecar(request, created):
            return created
        delete(self.client, created.metadata.name, created.metadata.namespace, grace_seconds=0)
        return None

    # Waiting

    def _follow(self, context: Context, pod: k8s.V1Pod) -> None:
        """Wait for the pod, and for those that replace it."""
        while True:
            self.pod = pod
            self._attempt = (pod.metadata.annotations or {}).get(ATTEMPT_ANNOTATION, self._attempt)
            limits = self._limits(context)
            if self.deferrable and look(pod, limits, datetime.now(UTC)) is None:
                self._defer(limits)
            if self._finish(context, pod.metadata.name, self._wait(pod, limits)):
                return
            pod = self.pod or self._create(context)

    def _limits(self, context: Context) -> Limits:
        deadline = None
        started = context["ti"].start_date
        if self.deferrable and self.execution_timeout is not None and started is not None:
            deadline = started.timestamp() + self.execution_timeout.total_seconds()
        return Limits(
            self.schedule_timeout_seconds, self.startup_timeout_seconds, deadline, patient_pulls=self._patient_pulls
        )

    def _defer(self, limits: Limits) -> None:
        assert self.pod is not None
        state = {
            "lost": self.lost,
            "attempt": self._attempt,
            "patient_pulls": self._patient_pulls,
            "api_errors": self._api_errors,
        }
        extras = connection_extras(self.kubernetes_conn_id)
        if not any((extras or {}).get(name) for name in KUBECONFIG_EXTRAS):
            self.convert_config_file_to_dict()  # type: ignore[no-untyped-call]  # the provider's
        trigger = DatumSetPodTrigger(
            pod_name=self.pod.metadata.name,
            pod_namespace=self.pod.metadata.namespace,
            trigger_start_time=datetime.now(UTC),
            base_container_name=self.base_container_name,
            kubernetes_conn_id=self.kubernetes_conn_id,
            connection_extras=extras,
            cluster_context=self.cluster_context,
            config_dict=self._config_dict,
            in_cluster=self.in_cluster,
            poll_interval=self.poll_interval,
            get_logs=self.get_logs,
            startup_timeout=self.startup_timeout_seconds,
            schedule_timeout=self.schedule_timeout_seconds,
            on_finish_action=self.on_finish_action.value,
            on_kill_action=self.on_kill_action.value,
            termination_grace_period=self.termination_grace_period,
            logging_interval=self.logging_interval,
            trigger_kwargs={"deadline": limits.deadline, "state": state},
        )
        # The mapped task resumes with its own method, and hands over again. The trigger keeps the deadline itself.
        self.defer(trigger=trigger, method_name="resume")

    def _wait(self, pod: k8s.V1Pod, limits: Limits) -> Finding:
        """Look until it is over, the log flowing beside."""
        name, namespace = pod.metadata.name, pod.metadata.namespace
        logs: threading.Thread | None = None
        while True:
            seen = read(self.client, name, namespace)
            if logs is None and self.get_logs and not self.deferrable and _runs(seen):
                # A thread, because following the log of a node that is lost never ends.
                # It logs in the context of the task, as this one does.
                run = copy_context().run
                logs = threading.Thread(target=run, args=(follow_logs, self, pod), name="pod-logs", daemon=True)
                logs.start()
            self._go_on()
            finding = look(seen, limits, datetime.now(UTC))
            if finding is not None:
                if logs is not None:
                    logs.join(LOG_PATIENCE_SECONDS)
                return finding
            time.sleep(pause_seconds(seen, limits, datetime.now(UTC), self.poll_interval))

    # Ending

    def _finish(self, context: Context, name: str, finding: Finding, since: Any = None) -> bool:
        """Whether the set is done; False when there is more to wait for: `self.pod`, or a new one if that is None.

        Raises `AirflowFailException` for what no retry would help, `AirflowException` for what one may.
        """
        pod = read(self.client, name, self.pod.metadata.namespace) if self.pod is not None else None
        verdict = self._verdict(pod, finding)
        if verdict.kind is VerdictKind.RUNNING and finding.end is End.ENDED and pod is not None:
            self._patient_pulls, self.pod = True, pod
            self.log.warning(verdict.message)
            return False
        if pod is not None:
            self._end_pod(context, pod, verdict, since)
        return self._conclude(name, verdict)

    def _verdict(self, pod: k8s.V1Pod | None, finding: Finding) -> Verdict:
        if pod is None or finding.end is End.LOST:
            return Verdict(VerdictKind.INFRASTRUCTURE, finding.message or "it was deleted by somebody")
        verdict = read_pod(pod, self._pull_errors(pod) if waits_for_image(pod) else None)
        if verdict.kind is not VerdictKind.RUNNING or finding.end is End.ENDED:
            return verdict
        late = finding.end is End.LATE and waits_for_image(pod)
        return Verdict(VerdictKind.INFRASTRUCTURE if late else VerdictKind.RUNNING, finding.message)

    def _pull_errors(self, pod: k8s.V1Pod) -> dict[str, str]:
        """Why images could not be pulled, by image, from the pod's events."""
        events = self.client.list_namespaced_event(
            pod.metadata.namespace, field_selector=f"involvedObject.name={pod.metadata.name},reason=Failed"
        ).items
        images = {container.image for container in [*pod.spec.containers, *(pod.spec.init_containers or [])]}
        found = {}
        for event in events:
            for image in images:
                if (event.message or "").startswith(f'Failed to pull image "{image}"'):
                    found[image] = event.message
        return found

    def _end_pod(self, context: Context, pod: k8s.V1Pod, verdict: Verdict, since: Any) -> None:
        """Get what is to be had of the pod, and delete it."""
        self._note_image(pod)
        if self.deferrable and self.get_logs:
            write_logs(self, pod, since)
        if verdict.kind in (VerdictKind.INFRASTRUCTURE, VerdictKind.MISCONFIGURED):
            log_helper(self, pod)
        if verdict.kind is not VerdictKind.DONE and self.log_events_on_failure:
            self._read_pod_container_states(pod, reraise=False)
            self._read_pod_events(pod, reraise=False)
        self._call("on_pod_completion", pod=pod, context=context)
        self._call("on_pod_teardown", pod=pod, context=context)
        if not self.process_pod_deletion(pod, reraise=False):
            self.patch_already_checked(pod, reraise=False)
        self._call("on_pod_cleanup", pod=pod, context=context)
        self.pod = None

    def _note_image(self, pod: k8s.V1Pod) -> None:
        """Keep for provenance which image the tag meant; the cluster alone knows."""
        base = container_statuses(pod).get(self.base_container_name)
        image = getattr(base, "image_id", None)
        if not image:
            return
        from airflow_pachy.pipelines.job_rows import note_image

        try:
            with self.pfs_hook.get_conn() as pfs:
                note_image(pfs, read_plan(pfs.store, self.plan_key).job, image)
        except PachyError as error:
            self.log.warning("Could not keep that the image was %s: %s", image, error)

    def _conclude(self, name: str, verdict: Verdict) -> bool:
        report = self._report()
        reason = f"pod {name}: {verdict.message}"
        late = report.plan.time_is_up(time.time())
        if late and late not in reason:
            reason = f"{late}; {reason}"
        replaceable = not late and verdict.kind in (
            VerdictKind.INFRASTRUCTURE,
            VerdictKind.DATUMS_FAILED,
            VerdictKind.DONE,
        )
        if report.unfinished and replaceable and self.lost < self.budget and not self.stop.is_set():
            self.lost += 1
            pause = min(2 ** (self.lost - 1), LONGEST_PAUSE_SECONDS)
            self.log.warning("%s: %s", report.counts(), reason)
            self.log.warning("Replacing the pod in %d s, replacement %d of %d", pause, self.lost, self.budget)
            self.pod = None
            self._patient_pulls = False
            time.sleep(pause)
            return False
        if not report.unfinished:
            self._delete_others()
        conclude(self.log, report, reason, final=bool(late) or verdict.kind is VerdictKind.MISCONFIGURED)
        return True

    def _delete_others(self) -> None:
        """Delete pods that an earlier try has asked for in its last moment, when this one had looked already."""
        named = SetName.of_plan(self.plan_key)
        if self.try_number == 1 or named is None:
            return
        try:
            delete_all(self.client, self._namespace(), named.labels, keep_ended=self._keep_ended)
        except ApiException as error:
            self.log.warning("Other pods of this set cannot be looked for: %s", error.reason)

    @property
    def _keep_ended(self) -> bool:
        """Whether pods that have ended may have to stay: all actions but `delete_pod` keep some."""
        return self.on_finish_action.value != "delete_pod"

    def _report(self) -> SetReport:
        try_number = int(self._attempt.partition("-")[0] or 1)
        with short_errors(), self.pfs_hook.get_conn() as pfs:
            return read_report(pfs.store, read_plan(pfs.store, self.plan_key), try_number)

    def _call(self, event: str, **arguments: Any) -> None:
        """Callbacks of the base class, `callbacks=`."""
        for callback in self.callbacks:
            getattr(callback, event)(client=self.client, mode="sync", operator=self, **arguments)


def _runs(pod: k8s.V1Pod | None) -> bool:
    return pod is not None and pod.status is not None and pod.status.phase not in (None, "Pending", "Unknown")
