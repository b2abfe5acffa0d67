"""Bringing containers' logs into the task's log: while a pod runs, and in one go when it has ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from airflow_pachy.pods.parts import HELPER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    from kubernetes.client import models as k8s

HELPER_LOG_LINES = 50
_CHUNK_BYTES = 1 << 16


def follow_logs(operator: KubernetesPodOperator, pod: k8s.V1Pod) -> None:
    """The logs of the containers that `container_logs` names, until these end."""
    try:
        operator.pod_manager.fetch_requested_container_logs(
            pod=pod,
            containers=operator.container_logs,
            follow_logs=True,
            container_name_log_prefix_enabled=operator.container_name_log_prefix_enabled,
            log_formatter=operator.log_formatter,
        )
    except (ApiException, HTTPError) as error:
        operator.log.warning("The pod's log cannot be read: %s", said(error))


def write_logs(operator: KubernetesPodOperator, pod: k8s.V1Pod, since: Any = None) -> None:
    """The same logs in one go; `since` is a moment before which they are known."""
    for name in _containers(operator, pod):
        try:
            for line in _lines(operator, pod, name, _seconds_since(since)):
                _log_line(operator, name, line)
        except (ApiException, HTTPError) as error:
            operator.log.warning("The log of container %s cannot be read: %s", name, said(error))


def log_helper(operator: KubernetesPodOperator, pod: k8s.V1Pod) -> None:
    """The end of the helper's log, which goes with the pod and holds what its exit code cannot say."""
    try:
        lines = list(_lines(operator, pod, HELPER, None, tail_lines=HELPER_LOG_LINES))
    except (ApiException, HTTPError) as error:
        operator.log.debug("The helper's log cannot be read: %s", said(error))  # it may never have started
        return
    for line in lines:
        operator.log.warning("[%s] %s", HELPER, line)


def said(error: Exception) -> str:
    """An API error in a few words."""
    return str(error.reason or error.body) if isinstance(error, ApiException) else str(error)


def _containers(operator: KubernetesPodOperator, pod: k8s.V1Pod) -> list[str]:
    names = operator.container_logs
    if names is True:
        return [container.name for container in pod.spec.containers]
    return [names] if isinstance(names, str) else list(names)


def _lines(
    operator: KubernetesPodOperator, pod: k8s.V1Pod, container: str, since_seconds: int | None, **arguments: Any
) -> Iterator[str]:
    if since_seconds is not None:
        arguments["since_seconds"] = since_seconds
    answer = operator.client.read_namespaced_pod_log(
        pod.metadata.name, pod.metadata.namespace, container=container, _preload_content=False, **arguments
    )
    rest = b""
    for chunk in answer.stream(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "backslashreplace")
    if rest:
        yield rest.decode("utf-8", "backslashreplace")


def _log_line(operator: KubernetesPodOperator, container: str, line: str) -> None:
    if line.startswith(("::group::", "::endgroup::")):
        operator.log.info("%s", line)
    elif operator.log_formatter is not None:
        operator.log.info("%s", operator.log_formatter(container, line))
    else:
        operator.log.info("%s", f"[{container}] {line}" if operator.container_name_log_prefix_enabled else line)


def _seconds_since(moment: Any) -> int | None:
    if moment is None:
        return None
    since = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return max(1, round((datetime.now(UTC) - since).total_seconds()))
