"""Pods are named after what they do, and shaped by what the cluster knows."""

import pytest
from kubernetes.client import VersionInfo
from kubernetes.client import models as k8s

from airflow_pachy.pods.names import SetName
from airflow_pachy.pods.shape import knows_sidecars, lost_its_sidecar

KEY = "jobs/01K9ZZZZZZZZZZZZZZZZZZZZZZ/plan/0002-000013.json"


def test_a_plans_key_names_the_set():
    named = SetName.of_plan(KEY)
    assert (named.job, named.attempt, named.number) == ("01K9ZZZZZZZZZZZZZZZZZZZZZZ", 2, 13)
    assert named.labels == {"pachy-job": "01k9zzzzzzzzzzzzzzzzzzzzzz", "pachy-set": "2-13"}
    assert SetName.of_plan("something/else") is None


def test_each_try_and_each_replacement_has_a_name_of_its_own():
    named = SetName.of_plan(KEY)
    assert named.pod_name(1) == "pachy-01k9zzzzzzzzzzzzzzzzzzzzzz-2-13-1"
    assert named.pod_name(3, 2) == "pachy-01k9zzzzzzzzzzzzzzzzzzzzzz-2-13-3-2"
    assert named.pod_name(1) == named.pod_name(1)


def test_names_are_legal_whatever_their_beginning():
    name = SetName.of_plan(KEY).pod_name(1, prefix="My_Own.Name" * 10)
    assert len(name) <= 63
    assert name.startswith("my-own-name")
    assert name.endswith("-01k9zzzzzzzzzzzzzzzzzzzzzz-2-13-1")
    assert SetName.of_plan(KEY).pod_name(1, prefix="___") == "01k9zzzzzzzzzzzzzzzzzzzzzz-2-13-1"


@pytest.mark.parametrize(
    ("major", "minor", "known"),
    [("1", "20", False), ("1", "28+", False), ("1", "29", True), ("1", "33+", True), ("", "", False)],
)
def test_sidecars_are_for_clusters_that_know_them(major, minor, known):
    version = VersionInfo(
        major=major, minor=minor, build_date="", compiler="", git_commit="", git_tree_state="", git_version="",
        go_version="", platform="",
    )  # fmt: skip
    assert knows_sidecars(version) is known


def test_a_dropped_field_is_noticed():
    def pod(policy):
        helper = k8s.V1Container(name="helper", image="h", restart_policy=policy)
        return k8s.V1Pod(spec=k8s.V1PodSpec(containers=[], init_containers=[helper]))

    assert lost_its_sidecar(pod("Always"), pod(None))
    assert not lost_its_sidecar(pod("Always"), pod("Always"))
    assert not lost_its_sidecar(pod(None), pod(None))
