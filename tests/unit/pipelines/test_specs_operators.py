"""Specs as operator arguments, and changes of pods as data."""

from datetime import timedelta

import pytest

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines import PipelineSpec
from airflow_pachy.pipelines.reading import merge_patch, operator_arguments, patch_pod_spec

MINIMAL = {
    "pipeline": {"name": "edges"},
    "transform": {"image": "edges:1", "cmd": ["c", "a"]},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
}


def arguments(nodes=None, **changed):
    (spec,) = PipelineSpec.parse({**MINIMAL, **changed})
    return operator_arguments(spec, nodes=nodes)


def test_a_minimal_spec():
    found = arguments()
    assert found["pipeline"] == "edges"
    assert found["cmds"] == ["c", "a"]
    assert found["input"] == {"pfs": {"repo": "images", "glob": "/*", "name": "images"}}
    assert (found["output"], found["pod"], found["parallelism"]) == ("edges@master", {}, None)
    assert found["container_resources"] is None
    assert found["image"] == "edges:1"
    assert arguments(transform={"cmd": ["bash"]})["image"] == "ubuntu:20.04"
    assert not {"incremental", "egress", "service", "spout", "salt", "user"} & found.keys()


def test_everything_that_is_the_pod_s():
    found = arguments(
        transform={
            "image": "i",
            "cmd": ["c"],
            "user": "root",
            "memory_volume": True,
            "image_pull_secrets": ["a", "b"],
            "secrets": [{"name": "s", "mount_path": "/s"}, {"name": "t", "env_var": "T", "key": "k"}],
        },
        metadata={"labels": {"team": "x"}, "annotations": {"note": "y"}},
        scheduling_spec={"node_selector": {"disk": "ssd"}, "priority_class_name": "high"},
        tolerations=[{"key": "gpu", "operator": "EXISTS"}],
        pod_spec='{"hostNetwork": true}',
        pod_patch=[{"op": "replace", "path": "/hostNetwork", "value": False}],
        resource_requests={"cpu": 1},
        resource_limits={"gpu": {"type": "amd.com/gpu", "number": 2}},
        sidecar_resource_requests={"memory": "1Gi"},
        sidecar_resource_limits={"memory": "2Gi", "cpu": 0.5},
    )
    patch = found["pod"].pop("pod_patch")
    assert found["pod"] == {
        "labels": {"team": "x"},
        "annotations": {"note": "y"},
        "node_selector": {"disk": "ssd"},
        "priority_class_name": "high",
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "image_pull_secrets": ["a", "b"],
        "pod_spec": {"hostNetwork": True},
        "helper_resources": {"requests": {"memory": "1Gi"}, "limits": {"cpu": "0.5", "memory": "2Gi"}},
    }
    assert [operation["path"] for operation in patch] == [
        "/volumes/-",
        "/containers/0/volumeMounts/-",
        "/hostNetwork",
    ]
    assert found["user"] == "0"
    assert found["container_resources"] == {"requests": {"cpu": "1"}, "limits": {"amd.com/gpu": "2"}}
    assert found["secrets"] == [
        {"name": "s", "mount_path": "/s"},
        {"name": "t", "env_var": "T", "key": "k"},
    ]


def test_how_much_and_how_long():
    found = arguments(
        parallelism_spec={"coefficient": 0.5},
        nodes=9,
        datum_timeout="1m",
        job_timeout="1h",
        datum_tries=2,
        chunk_spec={"number": 3},
        reprocess_spec="every_job",
    )
    assert found["parallelism"] == 5
    assert (found["datum_timeout"], found["job_timeout"]) == (timedelta(minutes=1), timedelta(hours=1))
    assert (found["datum_tries"], found["datum_set"].number, found["reprocess"]) == (2, 3, True)
    assert arguments(parallelism_spec={"coefficient": 0.5})["parallelism"] is None
    assert arguments(parallelism_spec={"coefficient": 0.01}, nodes=3)["parallelism"] == 1


def test_what_few_pipelines_have():
    found = arguments(incremental=True, egress={"URL": "s3://b/d"}, salt="s")
    assert found["incremental"] is True
    assert found["egress"] == {"object_storage": {"url": "s3://b/d"}}
    assert found["salt"] == "s"
    assert arguments(service={"internal_port": 80})["service"] == {"internal_port": 80}
    spout = {name: value for name, value in MINIMAL.items() if name != "input"} | {"spout": {}}
    assert operator_arguments(PipelineSpec.parse(spout)[0])["spout"] == {}


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_cases_of_rfc_7396(target, patch, merged):
    assert merge_patch(target, patch) == merged


POD = {"containers": [{"name": "base", "volumeMounts": []}, {"name": "helper"}], "volumes": [{"name": "pfs"}]}


def test_a_pod_is_merged_and_then_patched():
    patch = [
        {"op": "test", "path": "/hostNetwork", "value": True},
        {"op": "add", "path": "/containers/0/tty", "value": True},
        {"op": "remove", "path": "/dnsPolicy"},
        {"op": "copy", "from": "/volumes/0", "path": "/volumes/-"},
    ]
    found = patch_pod_spec(POD | {"dnsPolicy": "Default"}, pod_spec={"hostNetwork": True}, pod_patch=patch)
    assert found["containers"][0] == {"name": "base", "volumeMounts": [], "tty": True}
    assert found["hostNetwork"] is True
    assert "dnsPolicy" not in found
    assert [volume["name"] for volume in found["volumes"]] == ["pfs", "pfs"]
    assert POD["containers"][0] == {"name": "base", "volumeMounts": []}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/nothing"},
        {"op": "replace", "path": "/containers/7/name", "value": "x"},
        {"op": "test", "path": "/volumes/0/name", "value": "other"},
    ],
)
def test_a_patch_that_does_not_fit_is_said(operation):
    with pytest.raises(InvalidSpec, match=r"operation 0 of pod_patch, .* does not fit the pod"):
        patch_pod_spec(POD, pod_patch=[operation])
