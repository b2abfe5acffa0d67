"""What operators of services and spouts have in common: a Deployment that stands when their task has ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_pachy.hooks.airflow_errors import AirflowFailException
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.operators.datum_set import check_pod_arguments, choose_runner, user_numbers
from airflow_pachy.operators.stage import TEMPLATED, build_spec, check_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_pachy.hooks.settings import PachySettings
    from airflow_pachy.operators.standing_pod import StandingPod
    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pipelines import PipelineSpec
    from airflow_pachy.pods.standing import StandingRequest


RETRIES = {
    "retry_delay": timedelta(seconds=30),
    "max_retry_delay": timedelta(minutes=10),
    "retry_exponential_backoff": True,
}


class StandingOperator(BaseOperator):
    """Keeps one pod standing; its arguments are those of `PfsServiceOperator` and `PfsSpoutOperator`.

    Raises `InvalidSpec` while the DAG is parsed.
    """

    template_fields: Sequence[str] = (*TEMPLATED, "kubernetes_conn_id")
    ui_color = "#e6f4ea"
    workload = ""
    """`service` or `spout`: the field of a pipeline spec that says what this is."""
    own_retries = 5
    """Where neither the author nor the DAG's defaults say it."""

    def __init__(
        self,
        *,
        body: Mapping[str, Any],
        image: str,
        input: Mapping[str, Any] | None = None,  # noqa: A002 - the field's own name
        cmds: Sequence[str] = (),
        arguments: Sequence[str] = (),
        stdin: Sequence[str] = (),
        env_vars: Mapping[str, str] | None = None,
        secrets: Sequence[Any] = (),
        container_resources: Any = None,
        user: str | int | None = None,
        working_dir: str | None = None,
        pipeline: str | None = None,
        output: str | None = None,
        code_version: str | None = None,
        salt: str | None = None,
        runner: str = "auto",
        pfs_conn_id: str = DEFAULT_CONNECTION,
        kubernetes_conn_id: str | None = None,
        pod: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        # What fails here is Kubernetes or the network, which mend; bad code and bad images fail for good.
        if "retries" not in {**(kwargs.get("default_args") or {}), **kwargs}:
            kwargs |= {**RETRIES, "retries": self.own_retries}
        super().__init__(**kwargs)
        self.origin = f"{type(self).__name__} {self.task_id!r}"
        check_pod_arguments(self.origin, pod or {})
        if user is not None:
            user_numbers(str(user))
        self.body = dict(body)
        self.pipeline = pipeline or (output or self.task_id.rpartition(".")[2]).partition("@")[0]
        self.input = dict(input or {})
        self.output_branch = output or f"{self.pipeline}@master"
        self.image = image
        self.cmds = list(cmds)
        self.arguments = list(arguments)
        self.stdin = list(stdin)
        self.env_vars = dict(env_vars or {})
        self.code_version = code_version
        self.salt = salt
        self.secrets: Sequence[Any] = list(secrets)
        self.container_resources = container_resources
        self.user = None if user is None else str(user)
        self.working_dir = working_dir
        self.pfs_conn_id = pfs_conn_id
        self.kubernetes_conn_id = kubernetes_conn_id
        self.pod: Mapping[str, Any] = dict(pod or {})
        self.runner = runner
        self.deferrable = True
        check_arguments(self._arguments(), self._options(), origin=self.origin)

    def spec(self) -> PipelineSpec:
        """The pipeline's spec, with its templates rendered."""
        return build_spec(self._arguments(), self._options(), origin=self.origin)

    def standing_pod(self, settings: PachySettings) -> StandingPod:
        """Builds the Deployment. Raises `AirflowFailException` where the local runner is chosen, or the only one."""
        if choose_runner(self.runner, settings) == "local":
            raise AirflowFailException(
                f"a {self.workload} runs in Kubernetes only, since it outlives its task, and needs storage that pods "
                f"can reach, an s3:// URL; here the runner is local, and the storage "
                f"{settings.effective_storage or 'the embedded directory'}. On a laptop, start the program by hand: "
                "`pachy get file -r` and `pachy put file` move its files"
            )
        from airflow_pachy.operators.standing_pod import StandingPod

        return StandingPod.of_task(self, settings)

    def put_deployment(
        self,
        pfs: Pfs,
        pod: StandingPod,
        request: StandingRequest,
        commits: Mapping[str, str] | None = None,
        trees: tuple[str, ...] = (),
    ) -> str:
        """Record what is about to stand, with the commits by `repo@branch` and trees that it reads, and make it so.

        Returns the namespace.
        """
        from airflow_pachy.pipelines.standing import ROLLING, StandingInfo, begin_rollout

        wanted = pod.build_deployment(request)
        namespace: str = wanted.metadata.namespace
        info = StandingInfo(
            pipeline=request.pipeline,
            kind=self.workload,
            name=request.name,
            namespace=namespace,
            # The connection that was asked for by name.
            kubernetes_conn_id=self.kubernetes_conn_id or pod.settings.kubernetes_conn_id,
            version=request.version,
            commits=dict(commits or {}),
            state=ROLLING,
            message="",
            updated=datetime.now(UTC),
        )
        begin_rollout(pfs, info, trees)
        pod.cluster.apply_deployment(wanted, request.owner)
        return namespace

    def _arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in TEMPLATED}

    def _options(self) -> dict[str, Any]:
        salt = {"salt": self.salt} if self.salt else {}
        return {self.workload: self.body, "working_dir": self.working_dir, **salt}


def take_down(pfs: Pfs, pipeline: str, pod: StandingPod) -> None:
    """Take away what stands for a stopped pipeline, whoever stopped it and could not reach the cluster."""
    from airflow_pachy.pipelines.standing import find_standing
    from airflow_pachy.pods.apply import remove_standing

    info = find_standing(pfs, pipeline)
    if info is not None:
        remove_standing(pfs, info, pod.client.api_client)
