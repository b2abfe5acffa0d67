"""Taking away what stands in a cluster for a service or a spout, from a shell: also while Airflow is down."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airflow_pachy.errors import InvalidArgument, PachyError, Unavailable

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pipelines.standing import StandingInfo


def take_down(session: Session, pipeline: str) -> StandingInfo | None:
    """Remove the Deployment and Service of a pipeline; None when it has none. Raises `Unavailable` with what to do."""
    from airflow_pachy.pipelines.standing import find_standing

    info = find_standing(session.pfs, pipeline)
    if info is None:
        return None
    from airflow_pachy.pods.apply import remove_standing

    try:
        remove_standing(session.pfs, info, _client(info))
    except PachyError as error:
        raise Unavailable(
            f"the {info.kind} {info.name} in namespace {info.namespace} could not be taken away from here: {error}. "
            f"The next run of its DAG does it, or: kubectl -n {info.namespace} delete deployment,service {info.name}"
        ) from error
    return info


def _client(info: StandingInfo) -> ApiClient:
    """Kubernetes as the pipeline's own connection says, else as KUBECONFIG or the pod that we are in."""
    if info.kubernetes_conn_id:
        return _client_of_connection(info.kubernetes_conn_id)
    from kubernetes import client, config
    from kubernetes.config.config_exception import ConfigException

    inside = "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
    try:
        (config.load_incluster_config if inside else config.load_kube_config)()
    except (ConfigException, OSError) as error:
        raise InvalidArgument(f"no Kubernetes is configured here ({error}): set KUBECONFIG") from error
    return client.ApiClient()


def _client_of_connection(conn_id: str) -> ApiClient:
    try:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

        from airflow_pachy.hooks.airflow_errors import AirflowException
    except ImportError as error:
        raise InvalidArgument(f"Airflow connection {conn_id!r} needs Airflow in this environment ({error})") from error
    try:
        client: ApiClient = KubernetesHook(conn_id=conn_id).get_conn()
    except (AirflowException, ValueError, OSError) as error:
        raise InvalidArgument(f"Airflow connection {conn_id!r} cannot be used here: {error}") from error
    return client
