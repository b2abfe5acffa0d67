"""Putting Deployments and Services into the cluster, and taking them away; both may be done twice."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kubernetes.client import AppsV1Api, CoreV1Api
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from airflow_pachy.errors import Conflict, Denied, InvalidSpec, Unavailable
from airflow_pachy.pipelines.standing import forget_standing
from airflow_pachy.pods.standing import PIPELINE_ANNOTATION, STANDING_LABEL, STORAGE_ANNOTATION, is_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kubernetes.client import ApiClient
    from kubernetes.client import models as k8s

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.standing import StandingInfo

NOT_FOUND, CONFLICT, INVALID = 404, 409, 422
UNAUTHORIZED, FORBIDDEN, BAD_REQUEST = 401, 403, 400

log = logging.getLogger(__name__)


class Cluster:
    """Deployments and Services of one namespace.

    Raises `Conflict` for what has our name and is somebody else's, `InvalidSpec` for what Kubernetes does not accept,
    `Denied` when a right is missing, `Unavailable`.
    """

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._apps = AppsV1Api(client)
        self._core = CoreV1Api(client)
        self._namespace = namespace

    def read(self, name: str) -> tuple[k8s.V1Deployment | None, list[k8s.V1Pod]]:
        """A Deployment and its pods."""
        found = self._call("read", name, lambda: self._apps.read_namespaced_deployment(name, self._namespace))
        selector = f"{STANDING_LABEL}={name}"
        pods = self._call(
            "list pods of", name, lambda: self._core.list_namespaced_pod(self._namespace, label_selector=selector)
        )
        return found, list(pods.items)

    def apply_deployment(self, wanted: k8s.V1Deployment, owner: Mapping[str, str]) -> k8s.V1Deployment:
        """Create the Deployment, or make the one of its name so."""
        name = wanted.metadata.name
        apps, space = self._apps, self._namespace
        present = self._call("read", name, lambda: apps.read_namespaced_deployment(name, space))
        if present is None:
            return self._call("create", name, lambda: apps.create_namespaced_deployment(space, wanted))
        self._require_own("Deployment", present, owner)
        return self._call("replace", name, lambda: apps.replace_namespaced_deployment(name, space, wanted))

    def apply_service(self, wanted: k8s.V1Service, owner: Mapping[str, str]) -> k8s.V1Service:
        """Create the Service, or make the one of its name so; what the cluster chose for it stays."""
        name = wanted.metadata.name
        core, space = self._core, self._namespace
        present = self._call("read", name, lambda: core.read_namespaced_service(name, space))
        if present is None:
            return self._call("create", name, lambda: core.create_namespaced_service(space, wanted))
        self._require_own("Service", present, owner)
        wanted.metadata.resource_version = present.metadata.resource_version
        wanted.spec.cluster_ip = wanted.spec.cluster_ip or present.spec.cluster_ip
        if wanted.spec.type != "ClusterIP" and not wanted.spec.ports[0].node_port:
            wanted.spec.ports[0].node_port = present.spec.ports[0].node_port
        return self._call("replace", name, lambda: core.replace_namespaced_service(name, space, wanted))

    def remove_service(self, name: str, owner: Mapping[str, str]) -> bool:
        """Delete a Service; False when there was none."""
        core, space = self._core, self._namespace
        present = self._call("read", name, lambda: core.read_namespaced_service(name, space))
        if present is None:
            return False
        self._require_own("Service", present, owner)
        self._call("delete", name, lambda: core.delete_namespaced_service(name, space))
        return True

    def remove(self, name: str, owner: Mapping[str, str]) -> bool:
        """Delete the Service and the Deployment with its pods; False when there was nothing."""
        apps, space = self._apps, self._namespace
        had_service = self.remove_service(name, owner)
        present = self._call("read", name, lambda: apps.read_namespaced_deployment(name, space))
        if present is None:
            return had_service
        self._require_own("Deployment", present, owner)
        policy = "Background"
        self._call("delete", name, lambda: apps.delete_namespaced_deployment(name, space, propagation_policy=policy))
        log.info("Deleted Deployment %s in namespace %s", name, space)
        return True

    def _require_own(self, kind: str, present: Any, owner: Mapping[str, str]) -> None:
        if not is_of(present.metadata.annotations, owner):
            raise Conflict(
                f"namespace {self._namespace} has a {kind} {present.metadata.name} that is not of "
                f"{', '.join(owner.values())}: use another namespace for one of them, or delete it"
            )

    def _call(self, verb: str, name: str, call: Callable[[], Any]) -> Any:
        """The API's answer; None where there is nothing of that name."""
        try:
            return call()
        except ApiException as error:
            if error.status == NOT_FOUND and verb in ("read", "delete"):
                return None
            what = f"cannot {verb} {name} in namespace {self._namespace}"
            if error.status in (UNAUTHORIZED, FORBIDDEN):
                raise Denied(
                    f"{what}: {error.body}. Services and spouts need the rights of the Role "
                    "airflow-pachy-standing in helm_values/rbac-standing.yaml"
                ) from error
            if error.status in (BAD_REQUEST, INVALID):
                # The body names the field, such as a node port outside the cluster's range.
                raise InvalidSpec(f"{what}: {error.body}") from error
            if error.status == CONFLICT:
                raise Unavailable(f"{what}, somebody else changes it at this moment: {error.body}") from error
            raise Unavailable(f"{what} ({error.status}): {error.body or error.reason}") from error
        except HTTPError as error:
            raise Unavailable(f"cannot {verb} {name}, Kubernetes does not answer: {error}") from error


def remove_standing(pfs: Pfs, info: StandingInfo, client: ApiClient) -> bool:
    """Take away what stands for a pipeline, and forget it; False when it was gone already."""
    owner = {PIPELINE_ANNOTATION: info.pipeline, STORAGE_ANNOTATION: pfs.store.url}
    found = Cluster(client, info.namespace).remove(info.name, owner)
    forget_standing(pfs, info.pipeline)
    return found
