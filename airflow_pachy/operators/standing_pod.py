"""The pod of a service or spout as Airflow's KubernetesPodOperator would build it, and access to its cluster.

Never imported by a DAG file, since it needs the Kubernetes client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.hooks.airflow_errors import AirflowFailException
from airflow_pachy.operators.datum_set_pod import KUBECONFIG_EXTRAS
from airflow_pachy.operators.pod_arguments import pod_arguments, pod_changes, pod_request
from airflow_pachy.operators.pod_connection import connection_extras
from airflow_pachy.pods.apply import Cluster
from airflow_pachy.pods.patching import PodChanges, change_pod
from airflow_pachy.pods.standing import deployment, service_pod, spout_pod

if TYPE_CHECKING:
    from kubernetes.client import models as k8s

    from airflow_pachy.hooks.settings import PachySettings
    from airflow_pachy.operators.pod_arguments import PodTask
    from airflow_pachy.pods.standing import StandingRequest


class StandingPod(KubernetesPodOperator):
    """Builds a Deployment from the arguments of an operator; not for use in a DAG."""

    def __init__(self, *, settings: PachySettings, changes: PodChanges, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = settings
        self.changes = changes

    @classmethod
    def of_task(cls, task: PodTask, settings: PachySettings) -> Self:
        """For an operator. Raises `AirflowFailException` for arguments that cannot make a pod."""
        return cls(settings=settings, changes=pod_changes(task), **pod_arguments(task, settings))

    def build_deployment(self, standing: StandingRequest, **kwargs: Any) -> k8s.V1Deployment:
        """The Deployment; the helper's part in it is that of a service or of a spout."""
        pod = super().build_pod_request_obj(None, **kwargs)
        # Airflow's labels name the run and the try: with them each run would restart the pod.
        pod.metadata.labels = dict(self.labels or {})
        base = pod.spec.containers[0]
        request = pod_request(self.settings, "", attempt="", pull=base.image_pull_policy, user_resources=base.resources)
        parts = service_pod if standing.rolling else spout_pod
        try:
            return deployment(change_pod(parts(pod, request, standing), self.changes), standing)
        except InvalidSpec as error:
            raise AirflowFailException(str(error)) from error

    @property
    def target_namespace(self) -> str:
        """Where it stands."""
        return self.namespace or self.hook.get_namespace() or self._incluster_namespace or "default"

    @property
    def cluster(self) -> Cluster:
        """The namespace's Deployments and Services."""
        return Cluster(self.client.api_client, self.target_namespace)

    def access(self) -> dict[str, Any]:
        """Where the cluster is, for code in the triggerer, which may have no right to read the connection."""
        extras = connection_extras(self.kubernetes_conn_id)
        if not any((extras or {}).get(name) for name in KUBECONFIG_EXTRAS):
            self.convert_config_file_to_dict()  # type: ignore[no-untyped-call]  # the provider's
        return {
            "conn_id": self.kubernetes_conn_id,
            "in_cluster": self.in_cluster,
            "cluster_context": self.cluster_context,
            "config_dict": self._config_dict,
            "connection_extras": extras,
        }
