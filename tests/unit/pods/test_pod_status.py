import json

import pytest
from kubernetes.client import models as k8s

from airflow_pachy.pods.status import VerdictKind, read_pod, waits_for_image


def ended(name: str, exit_code: int, reason: str = "Completed", message: str | None = None) -> k8s.V1ContainerStatus:
    terminated = k8s.V1ContainerStateTerminated(exit_code=exit_code, reason=reason, message=message)
    return status(name, k8s.V1ContainerState(terminated=terminated))


def waiting(name: str, reason: str, message: str | None = None) -> k8s.V1ContainerStatus:
    return status(name, k8s.V1ContainerState(waiting=k8s.V1ContainerStateWaiting(reason=reason, message=message)))


def running(name: str) -> k8s.V1ContainerStatus:
    return status(name, k8s.V1ContainerState(running=k8s.V1ContainerStateRunning()))


def status(name: str, state: k8s.V1ContainerState) -> k8s.V1ContainerStatus:
    return k8s.V1ContainerStatus(name=name, image="user:1", image_id="", ready=False, restart_count=0, state=state)


def verdict(*statuses: k8s.V1ContainerStatus, phase: str = "Running", reason=None, message=None, init=()):
    return read_pod(
        k8s.V1Pod(
            status=k8s.V1PodStatus(
                phase=phase,
                reason=reason,
                message=message,
                container_statuses=list(statuses) or None,
                init_container_statuses=list(init) or None,
            )
        )
    )


def report(**counts) -> str:
    return json.dumps({"success": 0, "failed": 0, "recovered": 0, "skipped": 0, "error": "", **counts})


def test_a_pod_that_does_not_exist_yet_runs():
    assert read_pod(k8s.V1Pod()).kind is VerdictKind.RUNNING


@pytest.mark.parametrize("phase", ["Pending", "Running"])
def test_a_pod_under_way_runs(phase):
    found = verdict(running("base"), running("helper"), phase=phase)
    assert (found.kind, found.base_exit_code, found.helper_exit_code) == (VerdictKind.RUNNING, None, None)


def test_the_helpers_zero_is_success_before_the_pod_has_ended():
    found = verdict(running("base"), ended("helper", 0, message=report(success=3, skipped=2)))
    assert found.kind is VerdictKind.DONE
    assert found.message == "3 datums done, 2 were done before"
    assert found.helper_exit_code == 0


def test_the_base_containers_zero_alone_is_no_success():
    found = verdict(ended("base", 0), phase="Succeeded")
    assert found.kind is VerdictKind.INFRASTRUCTURE
    assert "without a result" in found.message


def test_failed_datums_cost_the_users_retries():
    found = verdict(ended("base", 121), ended("helper", 121, "Error", report(failed=2)), phase="Failed")
    assert found.kind is VerdictKind.DATUMS_FAILED
    assert found.message.startswith("2 datums failed")


def test_out_of_memory_is_named_with_its_remedy():
    found = verdict(ended("base", 137, "OOMKilled"), ended("helper", 121, "Error", report(failed=1)), phase="Failed")
    assert found.kind is VerdictKind.DATUMS_FAILED
    assert "OOMKilled" in found.message
    assert "raise its memory limit" in found.message


def test_while_the_helper_still_finishes_an_out_of_memory_pod_runs():
    assert verdict(ended("base", 137, "OOMKilled"), running("helper")).kind is VerdictKind.RUNNING


@pytest.mark.parametrize(("code", "words"), [(122, "lost sight"), (123, "volume"), (124, "stored"), (143, "stop")])
def test_the_helpers_own_exit_codes_are_infrastructure(code, words):
    found = verdict(ended("base", code), ended("helper", code, "Error", report(error="S3 is away")), phase="Failed")
    assert found.kind is VerdictKind.INFRASTRUCTURE
    assert words in found.message
    assert "S3 is away" in found.message


def test_a_helper_out_of_memory_says_which_limit():
    found = verdict(running("base"), ended("helper", 137, "OOMKilled"))
    assert (found.kind, found.message) == (
        VerdictKind.INFRASTRUCTURE,
        "the helper container ran out of memory: raise [pachy] helper_memory",
    )


def test_an_image_that_is_not_there_cannot_be_retried_into_existence():
    found = verdict(waiting("base", "ErrImagePull", "not found"), running("helper"), phase="Pending")
    assert found.kind is VerdictKind.MISCONFIGURED
    assert "user:1" in found.message
    assert "not found" in found.message


@pytest.mark.parametrize(
    "why",
    [
        "429 Too Many Requests",
        "toomanyrequests: You have reached your pull rate limit",
        "dial tcp: i/o timeout",
        "unexpected status code 503 Service Unavailable",
    ],
)
def test_a_registry_that_is_busy_is_waited_for(why):
    found = verdict(waiting("base", "ErrImagePull", why), phase="Pending")
    assert found.kind is VerdictKind.RUNNING
    assert why in found.message


def test_why_an_image_cannot_be_pulled_comes_from_events_where_kubelets_hide_it():
    pod = k8s.V1Pod(
        status=k8s.V1PodStatus(
            phase="Pending",
            container_statuses=[waiting("base", "ImagePullBackOff", 'Back-off pulling image "user:1"')],
        )
    )
    assert waits_for_image(pod)
    assert read_pod(pod).kind is VerdictKind.MISCONFIGURED
    busy = read_pod(pod, {"user:1": "Failed to pull image: 429 Too Many Requests"})
    assert busy.kind is VerdictKind.RUNNING
    absent = read_pod(pod, {"user:1": "Failed to pull image: not found"})
    assert (absent.kind, "not found" in absent.message) == (VerdictKind.MISCONFIGURED, True)


@pytest.mark.parametrize("reason", ["InvalidImageName", "CreateContainerConfigError", "CreateContainerError"])
def test_a_container_that_cannot_be_made_is_misconfigured(reason):
    assert verdict(waiting("base", reason), phase="Pending").kind is VerdictKind.MISCONFIGURED


@pytest.mark.parametrize("reason", ["PodInitializing", "ContainerCreating"])
def test_a_container_that_starts_is_waited_for(reason):
    assert verdict(waiting("base", reason), phase="Pending").kind is VerdictKind.RUNNING


def test_a_base_container_that_cannot_run_is_seen_while_the_helper_waits_for_it():
    found = verdict(ended("base", 128, "StartError", "exec format error"), running("helper"))
    assert found.kind is VerdictKind.MISCONFIGURED
    assert "exec format error" in found.message


def test_an_evicted_pod_is_infrastructure():
    found = verdict(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
    assert found.kind is VerdictKind.INFRASTRUCTURE
    assert "Evicted" in found.message
    assert "low on resource" in found.message


def test_a_wrong_helper_image_is_named():
    found = verdict(phase="Failed", init=[ended("place", 127, "Error")])
    assert found.kind is VerdictKind.MISCONFIGURED
    assert "place" in found.message


def test_a_termination_message_that_is_not_ours_is_shown_as_it_is():
    assert "panic: odd" in verdict(ended("helper", 124, "Error", "panic: odd")).message


@pytest.mark.parametrize(
    "message",
    [
        'Usage of EmptyDir volume "pfs" exceeds the limit "52428800". ',
        "Pod ephemeral local storage usage exceeds the total limit of containers 200Mi. ",
        'Container base exceeded its local ephemeral storage limit "200Mi". ',
    ],
)
def test_a_pod_that_fills_its_own_disk_is_not_replaced(message):
    found = verdict(ended("base", 143), ended("helper", 143), phase="Failed", reason="Evicted", message=message)
    assert found.kind is VerdictKind.MISCONFIGURED
    assert "Raise ephemeral-storage" in found.message


def test_a_node_that_runs_out_of_disk_is_infrastructure():
    message = "Node was low on resource: ephemeral-storage. Container base used 1Gi, which exceeds its request of 0. "
    assert verdict(phase="Failed", reason="Evicted", message=message).kind is VerdictKind.INFRASTRUCTURE


def test_a_deadline_of_the_users_own_is_not_tried_again():
    found = verdict(running("base"), phase="Failed", reason="DeadlineExceeded", message="Pod was active too long")
    assert found.kind is VerdictKind.MISCONFIGURED
    assert "active_deadline_seconds" in found.message


def test_wrong_credentials_are_not_tried_again():
    found = verdict(
        ended("base", 120), ended("helper", 120, "Error", report(error="InvalidAccessKeyId")), phase="Failed"
    )
    assert found.kind is VerdictKind.MISCONFIGURED
    assert "InvalidAccessKeyId" in found.message


def test_a_helper_that_is_a_native_sidecar_is_found_among_the_init_containers():
    found = verdict(ended("base", 0), phase="Succeeded", init=[ended("place", 0), ended("helper", 0)])
    assert found.kind is VerdictKind.DONE


def test_an_evicted_pod_whose_helper_was_done_is_done():
    found = verdict(ended("helper", 0, message=report(success=1)), phase="Failed", reason="Evicted")
    assert found.kind is VerdictKind.DONE
