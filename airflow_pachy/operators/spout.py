"""`PfsSpoutOperator`: a process that produces by itself, for as long as its pipeline is not stopped.

The task puts a Deployment into the cluster and waits in the triggerer, which commits what the process writes. The pod
stands without the task: when Airflow is down it goes on, and what it writes waits in the bucket. After `run_for`, and
when the pipeline has a new version, the task ends and the next run of its DAG takes over the pod, with the DAG as
it then is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_pachy.errors import PipelineStopped
from airflow_pachy.hooks.airflow_errors import AirflowException
from airflow_pachy.operators.failures import short_errors
from airflow_pachy.operators.standing import StandingOperator, take_down

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from airflow_pachy.operators.standing_pod import StandingPod
    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pipelines import PipelineSpec
    from airflow_pachy.pipelines.spouts import SpoutPlan
    from airflow_pachy.pods.standing import StandingRequest

SCRIPT = ("/pfs/.pfs/busybox", "sh", "/pfs/.pfs/spout.sh")
KILL_GRACE_SECONDS = 10


class PfsSpoutOperator(StandingOperator):
    """Keep a process running that writes tar archives to the pipe `/pfs/out`; each becomes a commit.

    :param output: `repo@branch` that the archives' files are committed to.
    :param overwrite: files replace those of the same path; else they are put at their end.
    :param marker: name of a file, or directory, that the process writes into archives to know later where it was. It
        finds the last one in `/pfs/<marker>` when it starts again; each is committed to the repo's branch `marker`.
    :param service: a Kubernetes Service before the pod, as of `PfsServiceOperator`.
    :param image: image of the user's container.
    :param cmds: the program and its first arguments; it is started again when it ends.
    :param run_for: how long one task looks after the spout.
    :param pipeline: its name; default: the output repo.

    The other arguments are those of `PfsServiceOperator`. Raises `InvalidSpec` while the DAG is parsed.
    """

    workload = "spout"
    own_retries = 20

    def __init__(
        self,
        *,
        output: str,
        image: str,
        overwrite: bool = False,
        marker: str = "",
        service: Mapping[str, Any] | None = None,
        run_for: timedelta = timedelta(hours=1),
        poll_interval: float = 3.0,
        **kwargs: Any,
    ) -> None:
        body = {"overwrite": overwrite, "marker": marker, **({"service": dict(service)} if service else {})}
        super().__init__(body=body, output=output, image=image, **kwargs)
        self.run_for = run_for
        self.poll_interval = poll_interval

    def execute(self, context: Context) -> None:  # noqa: ARG002 - Airflow's
        """Put it into the cluster, and look after it."""
        self._begin(0)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - Airflow's
        """Go on after the trigger has fired; may defer again."""
        from airflow_pachy.hooks.pfs import PfsHook
        from airflow_pachy.pipelines.standing import FAILED, note_state
        from airflow_pachy.pods.standing import PIPELINE_ANNOTATION, STORAGE_ANNOTATION, standing_name

        status, message, committed = event["status"], event["message"], event["committed"]
        self.log.info("%s; %d commits in this run", message, committed)
        if status in ("stopped", "started", "gone"):
            self._begin(committed)
        hook = PfsHook(self.pfs_conn_id)
        with short_errors(), hook.get_conn() as pfs:
            if status == "deleted":
                # Nothing in the database says any more what stands where.
                owner = {PIPELINE_ANNOTATION: event["pipeline"], STORAGE_ANNOTATION: pfs.store.url}
                self.standing_pod(hook.settings).cluster.remove(standing_name(event["pipeline"]), owner)
            if status == "failed":
                note_state(pfs, event["pipeline"], FAILED, message)
                raise AirflowException(message)
        return {"pipeline": event["pipeline"], "commits": committed}

    def _begin(self, committed: int) -> NoReturn:
        """Make the Deployment so, or take it away if the pipeline is stopped, and wait."""
        from airflow_pachy.hooks.pfs import PfsHook
        from airflow_pachy.pipelines.spouts import plan_spout
        from airflow_pachy.pods.standing import standing_name
        from airflow_pachy.triggers.spouts import PfsSpoutTrigger

        hook = PfsHook(self.pfs_conn_id)
        pod = self.standing_pod(hook.settings)
        version = None
        with short_errors(), hook.get_conn() as pfs:
            spec = self.spec()
            try:
                plan = plan_spout(pfs, spec)
            except PipelineStopped as stopped:
                self.log.info("%s", stopped)
                take_down(pfs, spec.name, pod)
            else:
                version = plan.version
                self._put(pfs, spec, plan, pod)
        trigger = PfsSpoutTrigger(
            pipeline=spec.name,
            version=version,
            name=standing_name(spec.name),
            namespace=pod.target_namespace,
            access=pod.access(),
            until=(datetime.now(UTC) + self.run_for).timestamp(),
            committed=committed,
            pfs_conn_id=self.pfs_conn_id,
            poll_interval=self.poll_interval,
        )
        self.defer(trigger=trigger, method_name="resume")
        raise AssertionError("defer returned")

    def _put(self, pfs: Pfs, spec: PipelineSpec, plan: SpoutPlan, pod: StandingPod) -> None:
        from airflow_pachy.pods.standing import front

        standing = spout_request(pfs, spec, plan)
        namespace = self.put_deployment(pfs, pod, standing)
        if standing.service is not None:
            pod.cluster.apply_service(front(namespace, standing), standing.owner)
        else:
            pod.cluster.remove_service(standing.name, standing.owner)
        self.log.info("Deployment %s stands in namespace %s", standing.name, namespace)


def spout_request(pfs: Pfs, spec: PipelineSpec, plan: SpoutPlan) -> StandingRequest:
    """What stands for a spout."""
    from airflow_pachy.pods.standing import StandingRequest

    assert spec.spout is not None
    stdin = "".join(f"{line}\n" for line in spec.transform.stdin)
    settings = {"PACHY_SPOUT_STREAM": plan.stream, "PACHY_SPOUT_MARKER": plan.marker, "PACHY_STDIN": stdin}
    env = {
        **spec.transform.env,
        "PFS_ROOT": "/pfs",
        "pfs_grace": str(KILL_GRACE_SECONDS),
        "pfs_stdin": "/pfs/.pfs/stdin" if stdin else "",
    }
    return StandingRequest(
        pipeline=spec.name,
        storage=pfs.store.url,
        version=plan.version,
        command=[*SCRIPT, *spec.transform.cmd],
        env=env,
        settings={name: value for name, value in settings.items() if value},
        working_dir=spec.transform.working_dir,
        service=spec.spout.service,
        rolling=False,
    )
