"""Pods by name and by set: read, found again, created once."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from kubernetes.client.exceptions import ApiException

from airflow_pachy.hooks.airflow_errors import AirflowException, AirflowFailException
from airflow_pachy.operators.pod_logs import said
from airflow_pachy.pods.names import ATTEMPT_ANNOTATION, PLAN_ANNOTATION, TRY_ANNOTATION
from airflow_pachy.pods.watching import has_ended

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes.client import CoreV1Api
    from kubernetes.client import models as k8s

NOT_FOUND, CONFLICT, INVALID = 404, 409, 422
DELETION_PATIENCE_SECONDS = 90
"""A deleted pod keeps its name for its grace period and some seconds more."""

log = logging.getLogger(__name__)


class PodInvalid(AirflowFailException):
    """The API server does not accept this pod, today or tomorrow."""


def read(client: CoreV1Api, name: str, namespace: str) -> k8s.V1Pod | None:
    """The pod as it now is, None when it is not there."""
    try:
        return client.read_namespaced_pod(name, namespace)
    except ApiException as error:
        if error.status == NOT_FOUND:
            return None
        raise


def create_or_adopt(client: CoreV1Api, request: k8s.V1Pod) -> k8s.V1Pod:
    """Create the pod, or take the one of its name, if it is for the same set plan.

    Raises `PodInvalid`, `AirflowFailException` when the name is another's, `AirflowException` for what may pass.
    """
    name, namespace = request.metadata.name, request.metadata.namespace
    deadline = time.monotonic() + DELETION_PATIENCE_SECONDS
    while True:
        try:
            created = client.create_namespaced_pod(namespace, request)
        except ApiException as error:
            # The body names the field or the quota that is at fault.
            if error.status == INVALID:
                raise PodInvalid(f"pod {name} is not valid: {error.body}") from error
            if error.status != CONFLICT:
                raise AirflowException(f"pod {name} cannot be created ({said(error)}): {error.body}") from error
        else:
            log.info("Created pod %s in namespace %s", name, namespace)
            return created
        found = read(client, name, namespace)
        if found is not None and found.metadata.deletion_timestamp is None:
            if (found.metadata.annotations or {}).get(PLAN_ANNOTATION) != request.metadata.annotations[PLAN_ANNOTATION]:
                raise AirflowFailException(f"namespace {namespace} has another pod {name}: delete it")
            log.info("Adopting pod %s, which was created before", name)
            return found
        if time.monotonic() > deadline:
            raise AirflowException(f"pod {name} in namespace {namespace} is being deleted, and does not go away")
        time.sleep(1)


def find_running(
    client: CoreV1Api, namespace: str, labels: Mapping[str, str], try_number: int, *, keep_ended: bool = False
) -> k8s.V1Pod | None:
    """The newest pod with these labels that has not ended, now this try's; older ones, which do the same, are deleted.

    So are, unless `keep_ended`, pods that have ended: whoever waited for them died before deleting them, and what they
    did is recorded. None when there is none, or when it is gone before it could be taken over.
    """
    present = _present(client, namespace, labels)
    pods = [pod for pod in present if not has_ended(pod)]
    if not keep_ended:
        for ended in filter(has_ended, present):
            log.info("Deleting pod %s, which has ended: an earlier try did not come to it", ended.metadata.name)
            delete(client, ended.metadata.name, namespace)
    if not pods:
        return None
    pods.sort(key=lambda pod: pod.metadata.creation_timestamp)
    for older in pods[:-1]:
        log.warning("Deleting pod %s: %s does the same", older.metadata.name, pods[-1].metadata.name)
        delete(client, older.metadata.name, namespace)
    taken = _take_over(client, pods[-1], try_number)
    if taken is not None:
        log.info("Reattaching to pod %s, which an earlier try has started", taken.metadata.name)
    return taken


def delete_all(client: CoreV1Api, namespace: str, labels: Mapping[str, str], *, keep_ended: bool = False) -> None:
    """Delete every pod with these labels, but, if `keep_ended`, none that has ended."""
    for pod in _present(client, namespace, labels):
        if not (keep_ended and has_ended(pod)):
            log.info("Deleting pod %s: all that it is for is done", pod.metadata.name)
            delete(client, pod.metadata.name, namespace)


def _present(client: CoreV1Api, namespace: str, labels: Mapping[str, str]) -> list[k8s.V1Pod]:
    """The pods with these labels that nobody has deleted."""
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    found = client.list_namespaced_pod(namespace, label_selector=selector).items
    return [pod for pod in found if pod.metadata.deletion_timestamp is None]


def _take_over(client: CoreV1Api, pod: k8s.V1Pod, try_number: int) -> k8s.V1Pod | None:
    """Note on the pod whose it is: an earlier try's process may still be alive, and be told to end with its pod."""
    patch = {"metadata": {"annotations": {TRY_ANNOTATION: str(try_number)}}}
    try:
        return client.patch_namespaced_pod(pod.metadata.name, pod.metadata.namespace, patch)
    except ApiException as error:
        if error.status == NOT_FOUND:
            return None
        raise


def belongs_to_later_try(pod: k8s.V1Pod, try_number: int) -> bool:
    """Whether a later try of the task has made the pod, or taken it over."""
    annotations = pod.metadata.annotations or {}
    owner = annotations.get(TRY_ANNOTATION) or annotations.get(ATTEMPT_ANNOTATION, "").partition("-")[0]
    return owner.isdigit() and int(owner) > try_number


def delete(client: CoreV1Api, name: str, namespace: str, grace_seconds: int | None = None) -> None:
    """Delete a pod; one that is gone is not an error."""
    arguments = {} if grace_seconds is None else {"grace_period_seconds": grace_seconds}
    try:
        client.delete_namespaced_pod(name, namespace, **arguments)
    except ApiException as error:
        if error.status != NOT_FOUND:
            raise
