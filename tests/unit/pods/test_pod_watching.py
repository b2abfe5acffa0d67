"""Until when a pod is waited for."""

from datetime import UTC, datetime, timedelta

import pytest
from kubernetes.client import models as k8s

from airflow_pachy.pods.watching import End, Limits, look, pause_seconds

BORN = datetime(2030, 1, 1, tzinfo=UTC)
LIMITS = Limits(schedule_seconds=100, startup_seconds=200)


def container(name, *, code=None, waiting=None, message=None):
    if code is not None:
        state = k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=code))
    elif waiting is not None:
        state = k8s.V1ContainerState(waiting=k8s.V1ContainerStateWaiting(reason=waiting, message=message))
    else:
        state = k8s.V1ContainerState(running=k8s.V1ContainerStateRunning())
    return k8s.V1ContainerStatus(name=name, state=state, image="i", image_id="i", ready=False, restart_count=0)


def pod(phase, *containers, scheduled=True, why=None, init=(), deleted=None):
    condition = k8s.V1PodCondition(
        type="PodScheduled",
        status="True" if scheduled else "False",
        message=why,
        last_transition_time=BORN + timedelta(seconds=10),
    )
    return k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name="p", creation_timestamp=BORN, deletion_timestamp=deleted),
        status=k8s.V1PodStatus(
            phase=phase,
            container_statuses=list(containers),
            init_container_statuses=list(init),
            conditions=[condition],
        ),
    )


def after(seconds):
    return BORN + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "seen",
    [
        pod("Running", container("base"), container("helper")),
        pod("Running", container("base", code=0), container("helper")),
        pod("Running", container("base", code=137), container("helper")),
        pod("Running", container("base", code=0), init=[container("place", code=0), container("helper")]),
        pod("Pending", container("base", waiting="ContainerCreating")),
    ],
)
def test_a_pod_under_way_is_waited_for(seen):
    assert look(seen, LIMITS, after(50)) is None


@pytest.mark.parametrize(
    "seen",
    [
        pod("Succeeded"),
        pod("Failed"),
        pod("Running", container("base", code=0), container("helper", code=0)),
        pod("Running", container("base", code=121), container("helper", code=121), container("istio-proxy")),
        pod("Running", container("base", code=0), init=[container("helper", code=0)]),
        pod("Pending", container("base", waiting="InvalidImageName"), container("helper")),
    ],
)
def test_the_end_is_when_both_of_ours_have_ended_or_cannot_start(seen):
    assert look(seen, LIMITS, after(50)).end is End.ENDED


def test_a_pod_that_is_gone_is_lost():
    assert look(None, LIMITS, after(0)).end is End.LOST


def test_a_deleted_pod_may_end_in_peace_but_not_for_ever():
    seen = pod("Running", container("base"), container("helper"), deleted=after(130))
    assert look(seen, LIMITS, after(150)) is None
    found = look(seen, LIMITS, after(200))
    assert found.end is End.LOST
    assert "node does not answer" in found.message


def test_a_pod_that_no_node_takes_is_late_with_the_schedulers_reason():
    seen = pod("Pending", scheduled=False, why="0/3 nodes are available: 3 Insufficient memory.")
    assert look(seen, LIMITS, after(99)) is None
    found = look(seen, LIMITS, after(101))
    assert found.end is End.LATE
    assert "within 100 seconds" in found.message
    assert "Insufficient memory" in found.message


def test_the_start_is_counted_from_the_moment_a_node_took_it():
    seen = pod("Pending", container("base", waiting="ContainerCreating"))
    assert look(seen, LIMITS, after(209)) is None
    assert look(seen, LIMITS, after(211)).end is End.LATE


def test_a_busy_registry_is_waited_for_when_it_is_known_to_be():
    seen = pod("Pending", container("base", waiting="ImagePullBackOff", message='Back-off pulling image "i"'))
    assert look(seen, LIMITS, after(50)).end is End.ENDED
    patient = Limits(100, 200, patient_pulls=True)
    assert look(seen, patient, after(50)) is None
    assert look(seen, patient, after(300)).end is End.LATE


def test_the_tasks_own_time_limit():
    seen = pod("Running", container("base"), container("helper"))
    limits = Limits(100, 200, deadline=after(60).timestamp())
    assert look(seen, limits, after(59)) is None
    assert look(seen, limits, after(60)).end is End.TIMEOUT


@pytest.mark.parametrize(("age", "pause"), [(-5, 2), (10, 2), (40, 2), (100, 5), (400, 20), (86_400, 20)])
def test_a_pod_that_runs_long_is_looked_at_less_often(age, pause):
    assert pause_seconds(pod("Running"), LIMITS, after(age), 2.0) == pause


def test_what_the_author_asks_for_is_the_least():
    assert pause_seconds(pod("Running"), LIMITS, after(10), 60.0) == 60
    assert pause_seconds(None, LIMITS, after(10), 0.5) == 0.5


@pytest.mark.parametrize(("left", "pause"), [(300, 20), (7, 7), (1, 2), (-9, 2)])
def test_a_deadline_is_not_slept_through(left, pause):
    limits = Limits(100, 200, deadline=after(1000 + left).timestamp())
    assert pause_seconds(pod("Running"), limits, after(1000), 2.0) == pause


def test_a_pod_of_an_hour_costs_the_api_server_few_calls():
    age, looks = 0.0, 0
    while age < 3600:
        age += pause_seconds(pod("Running"), LIMITS, after(age), 2.0)
        looks += 1
    assert looks < 250, "instead of 1,800"
