"""`PfsServiceOperator`: a process that answers requests about the newest commit, for as long as it is the newest.

The task puts a Deployment and a Kubernetes Service into the cluster, or replaces what an earlier run has put there, and
ends when the new pod is ready. The pod then stands without a task, a slot or a running Airflow.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import BranchNotFound, CommitNotFound, InvalidSpec, PipelineStopped
from airflow_pachy.hooks.airflow_errors import AirflowException, AirflowFailException, AirflowSkipException
from airflow_pachy.operators.chaining import commits_by_hand
from airflow_pachy.operators.failures import short_errors
from airflow_pachy.operators.standing import StandingOperator, take_down

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from airflow_pachy.operators.standing_pod import StandingPod
    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pipelines import PipelineSpec
    from airflow_pachy.pipelines.standing import ServicePlan
    from airflow_pachy.pods.standing import StandingRequest

POLL_SECONDS = 2.0


class PfsServiceOperator(StandingOperator):
    """Serve the newest commits of `input` with a long-running process; XCom: where it answers, and which commits.

    The process sees the files under `/pfs/<input>` and listens on a port. It is restarted when it ends, and replaced
    by one with the new files when the task runs again: the new one is ready before the old one is told to end.

    :param input: as of `DatumMapOperator`; it must make one datum, so mostly `{"pfs": {"repo": ..., "glob": "/"}}`.
    :param service: `{"internal_port": 8080, "external_port": 30080, "type": "NodePort", "annotations": {}}`: the port
        that the process listens on, the Service's, and its type: NodePort, ClusterIP or LoadBalancer.
    :param image: image of the user's container.
    :param cmds: the program and its first arguments.
    :param arguments: further arguments.
    :param stdin: lines fed to the program.
    :param env_vars: variables for the program; they are stored in the Deployment, so no secrets here.
    :param secrets: as of `DatumMapOperator`.
    :param container_resources: as of `DatumMapOperator`.
    :param user: as of `DatumMapOperator`.
    :param working_dir: where the program starts; default: the image's.
    :param pipeline: its name, by which `pachy stop pipeline` knows it; default: that of `output`, else the task's.
    :param ready_timeout: how long a new pod may take to become ready, downloads included.
    :param pod: any further argument of `KubernetesPodOperator`, such as `{"node_selector": {...}}`.

    Raises `InvalidSpec` while the DAG is parsed.
    """

    workload = "service"

    def __init__(
        self,
        *,
        input: Mapping[str, Any],  # noqa: A002 - the field's own name
        service: Mapping[str, Any],
        image: str,
        ready_timeout: timedelta = timedelta(hours=1),
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        if not service.get("internal_port"):
            raise InvalidSpec(
                f"PfsServiceOperator {kwargs.get('task_id')!r}: service needs internal_port, the port that the process "
                "listens on"
            )
        super().__init__(body=service, input=input, image=image, **kwargs)
        self.ready_timeout = ready_timeout
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, Any]:
        """Put it into the cluster, and wait until it is ready."""
        from airflow_pachy.hooks.pfs import PfsHook
        from airflow_pachy.pipelines.standing import plan_service

        hook = PfsHook(self.pfs_conn_id)
        pod = self.standing_pod(hook.settings)
        with short_errors(), hook.get_conn() as pfs:
            spec = self.spec()
            try:
                plan = plan_service(pfs, spec, commits=commits_by_hand(context))
            except PipelineStopped as stopped:
                take_down(pfs, spec.name, pod)
                raise AirflowSkipException(str(stopped)) from stopped
            except (BranchNotFound, CommitNotFound) as nothing:
                raise AirflowSkipException(f"there is nothing to serve yet: {nothing}") from nothing
            where = self._put(pfs, spec, plan, pod)
        return self._wait(pod, where)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - Airflow passes it
        """Go on after the trigger has fired."""
        return self._conclude(event["status"], event["message"], event["state"])

    def _put(self, pfs: Pfs, spec: PipelineSpec, plan: ServicePlan, pod: StandingPod) -> dict[str, Any]:
        """Replace what stands; returns what the task returns."""
        from airflow_pachy.pods.standing import front

        standing = service_request(pfs, spec, plan, ready_seconds=int(self.ready_timeout.total_seconds()))
        namespace = self.put_deployment(pfs, pod, standing, plan.commits, plan.trees)
        service = pod.cluster.apply_service(front(namespace, standing), standing.owner)
        port = service.spec.ports[0]
        self.log.info("Deployment %s in namespace %s gets commits %s", standing.name, namespace, dict(plan.commits))
        return {
            "pipeline": spec.name,
            "name": standing.name,
            "namespace": namespace,
            "port": port.port,
            "node_port": port.node_port,
            "commits": dict(plan.commits),
            "trees": list(plan.trees),
        }

    def _wait(self, pod: StandingPod, where: dict[str, Any]) -> dict[str, Any]:
        from airflow_pachy.pods.rollout import Progress, look_at_rollout

        if self.deferrable:
            from airflow_pachy.triggers.rollout import RolloutTrigger

            self.defer(
                trigger=RolloutTrigger(
                    name=where["name"], namespace=where["namespace"], access=pod.access(), state=where
                ),
                method_name="resume",
            )
        said = ""
        while True:
            with short_errors():
                found = look_at_rollout(*pod.cluster.read(where["name"]))
            if found.progress is not Progress.ROLLING:
                return self._conclude(str(found.progress), found.message, where)
            if found.message != said:
                said = found.message
                self.log.info("Deployment %s: %s", where["name"], said)
            time.sleep(POLL_SECONDS)

    def _conclude(self, status: str, message: str, where: dict[str, Any]) -> dict[str, Any]:
        from airflow_pachy.hooks.pfs import PfsHook
        from airflow_pachy.pipelines.standing import FAILED, end_rollout, note_state

        answer = {name: value for name, value in where.items() if name != "trees"}
        with short_errors(), PfsHook(self.pfs_conn_id).get_conn() as pfs:
            if status == "ready":
                end_rollout(pfs, where["pipeline"], tuple(where["trees"]))
                self.log.info(
                    "%s.%s answers on port %s%s with commits %s",
                    *(where["name"], where["namespace"], where["port"]),
                    *(f", every node on {where['node_port']}," if where["node_port"] else "", where["commits"]),
                )
                return answer
            if status == "failed":
                note_state(pfs, where["pipeline"], FAILED, message)
                raise AirflowFailException(
                    f"the new pod of {where['name']} does not become ready: {message}. What stood before, if anything "
                    "did, goes on serving"
                )
        raise AirflowException(f"Deployment {where['name']} in namespace {where['namespace']}: {message}")


def service_request(pfs: Pfs, spec: PipelineSpec, plan: ServicePlan, *, ready_seconds: int) -> StandingRequest:
    """What stands for a service."""
    from airflow_pachy.pods.standing import StandingRequest, fed_command
    from airflow_pachy.worker.environment import datum_environment

    env = datum_environment(plan.plan, plan.plan.datums[0], "/pfs")
    return StandingRequest(
        pipeline=spec.name,
        storage=pfs.store.url,
        version=plan.version,
        command=fed_command(spec.transform.cmd, "/pfs/.pfs/stdin" if spec.transform.stdin else None),
        env={name: value for name, value in env.items() if value or name in spec.transform.env},
        settings={"PACHY_PLAN": plan.text},
        commits=plan.commits,
        working_dir=spec.transform.working_dir,
        service=spec.service,
        ready_seconds=ready_seconds,
    )
