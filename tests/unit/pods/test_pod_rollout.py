"""How Deployments are getting on, read from what Kubernetes says; no cluster involved."""

from datetime import UTC, datetime, timedelta

import pytest
from kubernetes.client import models as k8s

from airflow_pachy.pods.rollout import Progress, look_at_rollout
from airflow_pachy.pods.standing import literal, standing_name

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def deployment(*, generation=2, observed=2, replicas=1, updated=1, available=1, conditions=()):
    return k8s.V1Deployment(
        metadata=k8s.V1ObjectMeta(name="d", generation=generation),
        spec=k8s.V1DeploymentSpec(replicas=1, selector={}, template=k8s.V1PodTemplateSpec()),
        status=k8s.V1DeploymentStatus(
            observed_generation=observed,
            replicas=replicas,
            updated_replicas=updated,
            available_replicas=available,
            conditions=[k8s.V1DeploymentCondition(type=kind, status="True", **rest) for kind, rest in conditions],
        ),
    )


def pod(name="p", *, born=NOW, ready=False, restarts=0, ended=None, waiting=None):
    state = k8s.V1ContainerState(waiting=k8s.V1ContainerStateWaiting(**waiting) if waiting else None)
    last = k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(**ended) if ended else None)
    status = k8s.V1ContainerStatus(
        name="base", image="i", image_id="", ready=ready, restart_count=restarts, state=state, last_state=last
    )
    return k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name=name, creation_timestamp=born),
        status=k8s.V1PodStatus(phase="Running", container_statuses=[status]),
    )


@pytest.mark.parametrize(
    ("seen", "progress"),
    [
        (deployment(), Progress.READY),
        (deployment(observed=1), Progress.ROLLING),
        (deployment(replicas=2), Progress.ROLLING),  # the old pod is not told to end yet
        (deployment(available=0), Progress.ROLLING),
        (deployment(updated=0), Progress.ROLLING),
        (None, Progress.GONE),
    ],
)
def test_it_is_ready_when_the_new_pod_has_replaced_the_old(seen, progress):
    assert look_at_rollout(seen, [pod(ready=True)]).progress is progress


def test_an_image_that_is_not_there_ends_the_waiting():
    bad = pod(waiting={"reason": "ErrImagePull", "message": "no such image"})
    old = pod("old", born=NOW - timedelta(hours=1), ready=True)
    found = look_at_rollout(deployment(replicas=2), [bad, old])
    assert (found.progress, "no such image" in found.message) == (Progress.FAILED, True)


def test_code_that_ends_again_and_again_ends_the_waiting_and_once_does_not():
    ended = {"exit_code": 3, "reason": "OOMKilled"}
    once = look_at_rollout(deployment(available=0), [pod(restarts=1, ended=ended)])
    assert (once.progress, once.message) == (
        Progress.ROLLING,
        "pod p: the user's process has ended once, the last time with 3 (OOMKilled)",
    )
    assert look_at_rollout(deployment(available=0), [pod(restarts=5, ended=ended)]).progress is Progress.FAILED
    running = look_at_rollout(deployment(), [pod(restarts=5, ended=ended, ready=True)])
    assert (running.progress, "5 times" in running.message) == (Progress.READY, True)


def test_a_deadline_that_kubernetes_keeps_ends_the_waiting():
    late = deployment(
        available=0, conditions=[("Progressing", {"reason": "ProgressDeadlineExceeded", "message": "late."})]
    )
    assert look_at_rollout(late, []).progress is Progress.FAILED
    quota = deployment(updated=0, conditions=[("ReplicaFailure", {"reason": "FailedCreate", "message": "quota"})])
    assert look_at_rollout(quota, []) == type(look_at_rollout(quota, []))(Progress.ROLLING, "FailedCreate: quota")


def test_names_are_those_of_pipelines_where_kubernetes_takes_them():
    assert standing_name("site-2") == "pachy-site-2"
    names = [standing_name(name) for name in ("a_b", "a-b", "A-b", "x" * 63, "x" * 62)]
    assert len(set(names)) == 5
    assert all(len(name) <= 50 and name == name.lower() and "_" not in name for name in names)


def test_kubernetes_finds_no_variables_in_what_is_meant_literally():
    assert literal("$(date) $$ $HOME") == "$$(date) $$$$ $$HOME"
