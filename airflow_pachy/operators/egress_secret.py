"""The password that a spec's egress names as a key of a Kubernetes secret.

Egress runs in Airflow's own process, which no secret is mounted into: so it is asked of the API server, when it is
needed, and is kept nowhere.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from airflow_pachy.errors import Denied, InvalidArgument, InvalidSpec, Unavailable
from airflow_pachy.operators.pod_arguments import configured

if TYPE_CHECKING:
    from airflow_pachy.hooks.settings import PachySettings
    from airflow_pachy.pipelines.egress.target import SecretRef

OTHER_WAYS = "give the password in the connection egress_conn_id, or to Airflow's workers as PACHYDERM_SQL_PASSWORD"


def read_password(secret: SecretRef, settings: PachySettings, kubernetes_conn_id: str | None) -> str:
    """The value of the secret's key, in the namespace where datums run.

    Raises `InvalidSpec` for a secret or key that is not there, `Denied` without the right to read it, `Unavailable`,
    and `InvalidArgument` where there is no Kubernetes to ask.
    """
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
    from kubernetes.client import CoreV1Api
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config.config_exception import ConfigException
    from urllib3.exceptions import HTTPError

    from airflow_pachy.hooks.airflow_errors import AirflowException

    asked = kubernetes_conn_id or settings.kubernetes_conn_id
    try:
        hook = KubernetesHook(conn_id=asked or KubernetesHook.default_conn_name)
        client, own_namespace = hook.get_conn(), hook.get_namespace()
    except (AirflowException, ConfigException, ValueError, OSError) as error:
        raise InvalidArgument(
            f"egress: the secret {secret.name!r} cannot be read, since there is no Kubernetes to ask ({error}); "
            f"{OTHER_WAYS}"
        ) from error
    namespace = configured("namespace", settings.namespace) or own_namespace or "default"
    what = f"egress: the secret {secret.name!r} in namespace {namespace}"
    try:
        data = CoreV1Api(client).read_namespaced_secret(secret.name, namespace).data or {}
    except ApiException as error:
        if error.status == 404:
            raise InvalidSpec(f"{what} does not exist; create it with a key {secret.key!r}, or {OTHER_WAYS}") from error
        if error.status in (401, 403):
            raise Denied(
                f"{what} may not be read: {error.body}. Give Airflow the right, as in helm_values/rbac-egress.yaml, or "
                f"{OTHER_WAYS}"
            ) from error
        raise Unavailable(f"{what} cannot be read ({error.status}): {error.body or error.reason}") from error
    except HTTPError as error:
        raise Unavailable(f"{what} cannot be read, Kubernetes does not answer: {error}") from error
    if secret.key not in data:
        raise InvalidSpec(f"{what} has no key {secret.key!r}; it has {', '.join(sorted(data)) or 'none'}")
    return base64.b64decode(data[secret.key]).decode()
