"""The mapped step of a stage: one task processes one datum set, in a pod or as local processes.

It decides at run time where, so that a DAG file never imports the Kubernetes provider, which would cost every
parse more than a second. Whatever the runner, the verdict comes from the set's result records, and a failure of the
user's code fails the task at once (its datums have had their `datum_tries` already), while lost pods, evictions and
services that are away are retried by Airflow.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.hooks.airflow_errors import AirflowException, AirflowFailException, AirflowSkipException
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.operators.failures import short_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_pachy.hooks.pfs import PfsHook
    from airflow_pachy.hooks.settings import PachySettings
    from airflow_pachy.operators.datum_set_pod import DatumSetPodOperator
    from airflow_pachy.operators.report import SetReport

OWN_POD_ARGUMENTS = {
    "arguments": "give it to DatumMapOperator itself",
    "automount_service_account_token": "datum pods get no token; mount a projected one as a volume if need be",
    "cmds": "give it to DatumMapOperator itself",
    "container_resources": "give it to DatumMapOperator itself",
    "deferrable": "give it to DatumMapOperator itself",
    "do_xcom_push": "results travel through the bucket",
    "env_vars": "give it to DatumMapOperator itself",
    "image": "give it to DatumMapOperator itself",
    "kubernetes_conn_id": "give it to DatumMapOperator itself",
    "base_container_name": "the helper knows it as 'base'",
    "random_name_suffix": "the name says which set it is, so that creating it twice finds the first",
    "secrets": "give it to DatumMapOperator itself",
    "skip_on_exit_code": "use accept_return_codes",
    "task_id": "the steps of a stage have fixed names",
}
_SET = re.compile(r"jobs/(?P<job>[^/]+)/plan/(?P<attempt>\d+)-(?P<number>\d+)\.json$")


def check_pod_arguments(origin: str, pod: Mapping[str, Any]) -> None:
    """Raise `InvalidSpec` for arguments of the pod that are not the author's to set there."""
    for name in pod:
        if name in OWN_POD_ARGUMENTS:
            raise InvalidSpec(f"{origin}: pod={{{name!r}: ...}} cannot be set: {OWN_POD_ARGUMENTS[name]}")


def user_numbers(user: str) -> tuple[int, int | None]:
    """`1000` or `1000:100` as uid and gid. Raises `InvalidSpec` for names, which only the image knows."""
    uid, colon, gid = user.partition(":")
    if not uid.isdigit() or (colon and not gid.isdigit()):
        raise InvalidSpec(
            f"user is {user!r}, but Kubernetes does not look names up in the image: "
            "write the number (`id -u NAME` in the image), as 1000 or 1000:1000 with a group, or set USER in the image"
        )
    return int(uid), int(gid) if colon else None


class DatumSetOperator(BaseOperator):
    """Process the datum set planned at `plan_key`; see `DatumMapOperator`, which makes it, for the arguments."""

    template_fields: Sequence[str] = ("plan_key", "image", "runner", "kubernetes_conn_id")
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        plan_key: str,
        image: str = "",
        runner: str = "auto",
        secrets: Sequence[Any] = (),
        container_resources: Any = None,
        user: str | None = None,
        pod: Mapping[str, Any] | None = None,
        pfs_conn_id: str = DEFAULT_CONNECTION,
        kubernetes_conn_id: str | None = None,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        # The result is in the bucket; a thousand sets would otherwise be a thousand XCom rows of nothing.
        super().__init__(**{**kwargs, "do_xcom_push": False})
        self.plan_key = plan_key
        self.image = image
        self.runner = runner
        self.secrets = secrets
        self.container_resources = container_resources
        self.user = user
        self.pod = pod or {}
        self.pfs_conn_id = pfs_conn_id
        self.kubernetes_conn_id = kubernetes_conn_id
        self.deferrable = deferrable
        self.stop = threading.Event()
        """Set when the task is told to end; its process goes on, and must not begin anything."""
        self._pod_operator: DatumSetPodOperator | None = None

    @property
    def set_label(self) -> str:
        """`set 3`: what the UI shows instead of the map index."""
        match = _SET.search(str(self.plan_key))
        return f"set {int(match['number'])}" if match else "set"

    def execute(self, context: Context) -> None:
        """Process the set; the pod runner may defer."""
        from airflow_pachy.hooks.pfs import PfsHook

        hook = PfsHook(self.pfs_conn_id)
        if context["ti"].try_number > 1:
            self._check_job(hook)
        runner = choose_runner(self.runner, hook.settings)
        self.log.info("%s runs on %s", self.set_label, runner)
        if runner == "local":
            self._run_here(hook, context)
        else:
            self._in_pod(hook, context).run(context)

    def resume(self, context: Context, event: dict[str, Any]) -> None:
        """Go on after the trigger has fired; may defer again."""
        from airflow_pachy.hooks.pfs import PfsHook

        self._in_pod(PfsHook(self.pfs_conn_id), context).resume(context, event)

    def on_kill(self) -> None:
        """End the user's commands, or delete the pod."""
        self.stop.set()
        if self._pod_operator is not None:
            self._pod_operator.on_kill()

    def _check_job(self, hook: PfsHook) -> None:
        """Skip a set whose job has published: somebody has cleared it, and it would find all of its datums done.

        No retry comes here then: a job publishes when Airflow holds all of its sets to be over.
        """
        from airflow_pachy.pipelines.jobs import job_state

        match = _SET.search(str(self.plan_key))
        if match is None:
            return
        with short_errors(), hook.get_conn() as pfs:
            state = job_state(pfs, match["job"])
        if state == "success":
            raise AirflowSkipException(
                f"nothing was run: job {match['job']} has published, and the datums of this set are done. "
                + how_to_run_again(self.task_id)
            )
        if state == "stopped":
            raise AirflowFailException(
                f"job {match['job']} was stopped, and is not continued set by set: clear {_plan_of(self.task_id)} and "
                "what comes after it, which keeps what is done"
            )

    def _run_here(self, hook: PfsHook, context: Context) -> None:
        from airflow_pachy.operators.report import read_report
        from airflow_pachy.worker.local import LocalRunner
        from airflow_pachy.worker.outcome import ExitCode, WorkerOptions, new_attempt
        from airflow_pachy.worker.plan import read_plan
        from airflow_pachy.worker.run import run_set

        try_number = context["ti"].try_number
        with short_errors(), hook.get_conn() as pfs:
            plan = read_plan(pfs.store, self.plan_key)
            slots = max(1, min(len(plan.datums), os.cpu_count() or 1))
            options = WorkerOptions(attempt=new_attempt(try_number), stop=self.stop)
            with LocalRunner(slots, log=self.log.info) as runner:
                outcome = run_set(pfs.store, plan, runner, options)
            conclude(
                self.log,
                read_report(pfs.store, plan, try_number),
                outcome.error or f"the worker ended with {outcome.exit_code}",
                final=outcome.exit_code in (ExitCode.MISCONFIGURED, ExitCode.OUT_OF_TIME),
            )

    def _in_pod(self, hook: PfsHook, context: Context) -> DatumSetPodOperator:
        from airflow_pachy.operators.datum_set_pod import DatumSetPodOperator

        operator = DatumSetPodOperator.of_task(self, hook)
        operator.render_template_fields(context, self.get_template_env())
        self._pod_operator = operator
        return operator


def how_to_run_again(step: str) -> str:
    """What to do for a stage that has published, said in the log of one of its steps by its task id."""
    return (
        f"To run the stage again, clear {_plan_of(step)} and what comes after it: a further job reads what is newest "
        "and skips datums that are done, unless the run was started with reprocess (pachy run pipeline NAME "
        "--reprocess)"
    )


def _plan_of(step: str) -> str:
    return f"{step.rpartition('.')[0]}.plan"


def choose_runner(asked: str, settings: PachySettings) -> str:
    """`kubernetes` or `local`: what the operator says, else the connection, else `[pachy] runner`, else what fits.

    Only S3 can be reached from pods, so without it datums run here.
    """
    from airflow_pachy.hooks.airflow_config import conf

    said = [asked, settings.runner, conf.get("pachy", "runner", fallback="auto")]
    choice = next((runner for runner in said if runner and runner != "auto"), "auto")
    if choice == "auto":
        return "kubernetes" if settings.is_s3 else "local"
    if choice not in ("kubernetes", "local"):
        raise AirflowFailException(f"runner is {choice!r}: use kubernetes, local or auto")
    if choice == "kubernetes" and not settings.is_s3:
        raise AirflowFailException(
            "the kubernetes runner needs storage that pods can reach, an s3:// URL; it is "
            f"{settings.effective_storage or 'the embedded directory'}. "
            "Set the storage of the connection, or use runner='local'"
        )
    return choice


def conclude(log: Any, report: SetReport, reason: str, *, final: bool = False) -> None:
    """End the task as the records demand: quietly, for good, or to be retried.

    `reason` says why datums may be without a record; `final` that no retry would help.
    """
    if report.failed:
        log.info("::endgroup::")  # of a datum whose end was not seen: the summary must not be folded away with it
        for line in report.describe_failures().splitlines():
            log.error("%s", line)
        raise AirflowFailException(report.summary())
    if report.unfinished:
        raise (AirflowFailException if final else AirflowException)(f"{report.counts()}: {reason}")
    log.info(report.counts())
