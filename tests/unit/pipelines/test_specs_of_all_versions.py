"""Specs of each age of Pachyderm, in the one form that they all come to."""

import json
from datetime import timedelta

import pytest

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines import PipelineSpec
from airflow_pachy.pipelines.inputs import CronInput, CrossInput, GitInput, NoInput, PfsInput

MINIMAL = {
    "pipeline": {"name": "edges"},
    "transform": {"image": "edges:1", "cmd": ["c"]},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
}


def parse(source=None, *, defaults=(), **changed):
    (spec,) = PipelineSpec.parse(source or {**MINIMAL, **changed}, defaults=defaults)
    assert PipelineSpec.parse(json.dumps(spec.to_spec())) == [spec]
    return spec


def refused(source=None, **changed):
    with pytest.raises(InvalidSpec) as raised:
        parse(source, **changed)
    return str(raised.value)


def oldest(*inputs, **more):
    return {
        "pipeline": {"name": "p"},
        "transform": {"image": "i", "cmd": ["c"]},
        "inputs": [{"repo": {"name": f"r{place}"}, **one} for place, one in enumerate(inputs)],
        **more,
    }


@pytest.mark.parametrize(
    ("method", "glob", "incremental"),
    [
        (None, "/*", False),
        ("map", "/*", False),
        ("reduce", "/*", False),
        ("global", "/", False),
        ("incremental_reduce", "/*", True),
        ({"partition": "file", "incremental": True}, "/*", True),
        ({"partition": "repo", "incremental": False}, "/", False),
        ({"partition": "BLOCK", "incremental": "DIFF"}, "/*", False),
        ({"partition": "BLOCK", "incremental": "NONE"}, "/*", False),
        ({"partition": "FILE", "incremental": "FILE"}, "/*", False),
        ({"partition": "FILE", "incremental": "DIFF"}, "/*", True),
        ({"partition": "REPO", "incremental": "DIFF"}, "/", True),
        ({"partition": "repo", "incremental": "none"}, "/", False),
        ({"partition": "REPO"}, "/", False),
    ],
)
def test_methods_become_globs(method, glob, incremental):
    spec = parse(oldest({} if method is None else {"method": method}))
    assert spec.input == PfsInput(repo="r0", glob=glob)
    assert spec.incremental is incremental
    assert spec.on_collision == "append"


def test_a_list_of_inputs_becomes_a_cross():
    spec = parse(oldest({"method": "map", "runEmpty": True}, {"method": "global"}, parallelism="4"))
    assert isinstance(spec.input, CrossInput)
    assert [(leaf.repo, leaf.glob) for leaf in spec.input.leaves()] == [("r0", "/*"), ("r1", "/")]
    assert spec.parallelism_spec.constant == 4
    diff = {"method": {"partition": "REPO", "incremental": "DIFF"}}
    assert parse(oldest(diff, diff)).incremental
    assert not parse(oldest({"method": "reduce"}, {"method": "global"})).incremental
    # The other input is to be seen as a whole.
    mixed = parse(oldest(diff, {"method": "global"}))
    assert mixed.incremental
    assert [leaf.incremental for leaf in mixed.input.leaves()] == [True, False]
    assert PipelineSpec.from_dict(mixed.to_spec()) == mixed


def test_the_manual_s_oldest_spec():
    spec = parse(
        oldest(
            {},
            transform={
                "image": "my-image",
                "cmd": ["my-binary", "arg1"],
                "stdin": ["my-std-input"],
                "env": {"foo": "bar"},
                "secrets": [{"name": "secret_name", "mountPath": "/path/in/container"}],
                "overwrite": True,
            },
            parallelism_spec={"strategy": "COEFFICIENT", "coefficient": 0.5},
        )
    )
    assert spec.transform.secrets[0].mount_path == "/path/in/container"
    assert spec.parallelism_spec.pods(10) == 5
    assert spec.on_collision == "overwrite"
    assert parse(oldest({}, parallelism_spec={"strategy": "CONSTANT", "constant": 10})).parallelism_spec.constant == 10


def test_the_list_with_globs_of_14():
    spec = parse(oldest({"name": "in", "branch": "dev", "glob": "/a/*", "lazy": True}))
    assert spec.input == PfsInput(repo="r0", name="in", branch="dev", glob="/a/*", lazy=True)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            oldest({"method": "shuffle"}),
            "inputs[0].method: 'shuffle' is none of map, reduce, incremental_reduce, global",
        ),
        (oldest({}, {"method": {"partition": "ROW"}}), "inputs[1].method.partition: 'ROW' is none of BLOCK"),
        (oldest({"method": {"incremental": "YES"}}), "inputs[0].method.incremental"),
        (oldest({"method": {"partition": "REPO", "incremental": "FILE"}}), "changed files of the whole repo"),
        (oldest({"method": 3}), "inputs[0].method: a name, or an object"),
        (oldest({"glob": "/", "method": "map"}), "keep the glob"),
        (oldest({"repo": "x", "from": {"id": "a"}}), "'inputs.from' is not supported"),
        (oldest({"repo": {}}), "names its repo as"),
        (oldest(), "at least one"),
        (oldest({}, input={"pfs": {"repo": "a", "glob": "/"}}), "keep only one of them"),
    ],
)
def test_old_inputs_that_cannot_be_told(document, words):
    assert words in refused(document)


def test_every_field_of_the_17_manual():
    spec = parse(
        description="d",
        transform={
            "image": "i",
            "cmd": ["c"],
            "stdin": ["s"],
            "env": {"A": "b"},
            "secrets": [{"name": "s", "mount_path": "/m"}, {"name": "s", "env_var": "V", "key": "k"}],
            "image_pull_secrets": ["r"],
            "accept_return_code": [1, 2],
            "debug": True,
            "user": "1000:50",
            "working_dir": "/w",
        },
        parallelism_spec={"coefficient": 1},
        resource_requests={"memory": "1.2G", "cpu": 0.5, "disk": "10G"},
        resource_limits={"memory": "2G", "cpu": 1, "gpu": 1, "disk": "10G"},
        datum_timeout="1s",
        datum_tries=2,
        job_timeout="15h",
        input={
            "cross": [
                {"atom": {"name": "a", "repo": "r", "branch": "b", "glob": "/*", "lazy": True, "empty_files": False}},
                {"union": [{"atom": {"repo": "x", "glob": "/"}}, {"atom": {"repo": "x", "glob": "/*"}}]},
                {"cron": {"name": "tick", "spec": "@daily", "repo": "ticks", "start": "2018-01-01T00:00:00Z"}},
                {"git": {"URL": "https://github.com/foo/bar.git", "name": "code", "branch": "main"}},
            ]
        },
        output_branch="out",
        egress={"URL": "s3://bucket/dir"},
        standby=True,
        incremental=True,
        cache_size="64M",
        enable_stats=True,
        max_queue_size=3,
        chunk_spec={"number": 7, "size_bytes": 1000},
        scheduling_spec={"node_selector": {"gpu": "yes"}, "priority_class_name": "high"},
        pod_spec='{"hostNetwork": true}',
        salt="abc",
    )
    assert isinstance(spec.input.members[2], CronInput)
    assert isinstance(spec.input.members[3], GitInput)
    assert [leaf.name for leaf in spec.input.leaves()] == ["a", "x", "x", "tick", "code"]
    assert spec.resource_limits.amounts() == {
        "cpu": "1",
        "memory": "2G",
        "ephemeral-storage": "10G",
        "nvidia.com/gpu": "1",
    }
    assert (spec.transform.user, spec.output, spec.salt) == ("1000:50", "edges@out", "abc")
    assert (spec.datum_timeout, spec.job_timeout) == (timedelta(seconds=1), timedelta(hours=15))
    assert spec.egress.url == "s3://bucket/dir"
    assert spec.incremental
    assert (spec.datum_set_spec.number, spec.datum_set_spec.size_bytes) == (7, 1000)
    assert spec.pod_spec == {"hostNetwork": True}
    assert spec.scheduling_spec.priority_class_name == "high"


def test_every_field_that_2x_added():
    spec = parse(
        pipeline={"name": "edges", "project": {"name": "default"}},
        transform={
            "image": "i",
            "cmd": ["c"],
            "err_cmd": ["e"],
            "err_stdin": ["x"],
            "memory_volume": True,
            "dockerfile": "FROM scratch",
        },
        input={"pfs": {"project": "default", "repo": "images", "repo_type": "user", "glob": "/(*)", "join_on": "$1"}},
        datum_set_spec={"per_worker": 2},
        reprocess_spec="every_job",
        sidecar_resource_limits={"memory": "2Gi"},
        sidecar_resource_requests={"cpu": "100m"},
        tolerations=[
            {"key": "gpu", "operator": "EXISTS", "effect": "NO_SCHEDULE"},
            {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute", "toleration_seconds": 60},
            {"operator": 1},
        ],
        pod_patch='[{"op": "add", "path": "/hostNetwork", "value": true}]',
        metadata={"labels": {"team": "a"}, "annotations": {"x": "y"}},
        autoscaling=True,
        parallelism_spec={"constant": "3"},
        egress={
            "sql_database": {
                "url": "postgres://u@host/db",
                "file_format": {"type": "CSV", "columns": ["a", "b"]},
                "secret": {"name": "s", "key": "PACHYDERM_SQL_PASSWORD"},
            }
        },
    )
    assert spec.egress.sql_database.file_format.columns == ("a", "b")
    assert spec.on_collision == "error"
    assert spec.sidecar_resource_limits.memory == "2Gi"
    assert [one.to_kubernetes() for one in spec.tolerations] == [
        {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute", "tolerationSeconds": 60},
        {"operator": "Exists"},
    ]
    assert spec.pod_patch == ({"op": "add", "path": "/hostNetwork", "value": True},)


def test_the_camel_case_of_exports_and_their_wrapping():
    exported = {
        "pipeline": {"project": {"name": "default"}, "name": "edges"},
        "version": "3",
        "specCommit": {"branch": {"repo": {"name": "edges", "type": "spec"}}, "id": "a" * 32},
        "state": "PIPELINE_RUNNING",
        "parallelism": "1",
        "type": "PIPELINE_TYPE_TRANSFORM",
        "details": {
            "transform": {"image": "i", "cmd": ["c"], "errCmd": ["e"], "datumBatching": False},
            "datumTimeout": "3600s",
            "datumTries": "5",
            "createdAt": "2024-01-01T00:00:00Z",
            "input": {"pfs": {"repo": "images", "glob": "/*", "emptyFiles": True, "s3": False, "trigger": None}},
            "reprocessSpec": "until_success",
            "workersRequested": "1",
            "tolerations": [],
            "podPatch": "",
            "egress": {"URL": ""},
            "service": {"internalPort": 0},
            "spout": None,
            "tfJob": None,
        },
    }
    spec = parse(exported)
    assert spec.transform.err_cmd == ("e",)
    assert (spec.datum_tries, spec.datum_timeout) == (5, timedelta(hours=1))
    assert spec.input.empty_files
    assert (spec.egress, spec.service, spec.spout) == (None, None, None)


def test_services_and_spouts():
    spec = parse(service={"internal_port": 8888, "external_port": 30888, "type": "loadbalancer", "ip": "10.0.0.1"})
    assert (spec.service.internal_port, spec.service.type, spec.service.ip) == (8888, "LoadBalancer", "10.0.0.1")
    document = {name: value for name, value in MINIMAL.items() if name != "input"}
    spout = parse({**document, "spout": {}})
    assert isinstance(spout.input, NoInput)
    assert list(spout.input.leaves()) == []
    old = parse({**document, "spout": {"overwrite": True, "marker": "m", "service": {"internal_port": 80}}})
    assert (old.spout.overwrite, old.spout.marker, old.spout.service.internal_port) == (True, "m", 80)
    assert "input: required" in refused(document)
    assert "so it has no 'input'" in refused(spout={})
    assert "is none of ClusterIP" in refused(service={"internal_port": 80, "type": "Mesh"})
    assert "service.internal_port" in refused(service={"internal_port": 80_000})


def test_names_that_older_versions_had():
    assert parse(no_skip=True).reprocess_spec == "every_job"
    assert parse(resource_spec={"memory": "1G", "cpu": 1}).resource_requests.memory == "1G"
    assert parse(scale_down_threshold="10m", gc_percent=50, hashtree_spec={"constant": 3}).on_collision == "append"
    assert "keep only one of them" in refused(chunk_spec={"number": 1}, datum_set_spec={"number": 2})
    (spec,) = PipelineSpec.parse({**MINIMAL, "reprocess": True, "update": True})
    assert spec.reprocess
    assert "reprocess" not in spec.to_spec()


def test_triggers_of_inputs_become_branches():
    first = {"pfs": {"repo": "a", "glob": "/", "trigger": {"size": "1M", "commits": 2, "all": True}}}
    second = {"pfs": {"repo": "b", "glob": "/", "branch": "dev", "trigger": {"cron_spec": "@daily"}}}
    third = {"pfs": {"repo": "c", "glob": "/", "trigger": False}}
    spec = parse(input={"cross": [first, {"union": [third, second]}]})
    one, without, two = spec.input.leaves()
    assert (one.branch, one.trigger) == (
        "edges-trigger-1",
        {"branch": "master", "all": True, "size": "1M", "commits": 2},
    )
    assert (two.branch, two.trigger) == ("edges-trigger-2", {"branch": "dev", "cron": "@daily"})
    assert (without.branch, without.trigger) == ("master", False)
    assert "trigger" in refused(input={"pfs": {"repo": "a", "glob": "/", "trigger": {"size": "much"}}})


def test_defaults_are_merged_beneath():
    cluster = {
        "createPipelineRequest": {
            "datumTries": 7,
            "resourceRequests": {"cpu": 1, "memory": "128Mi", "disk": "1Gi"},
            "transform": {"env": {"A": "cluster", "B": "cluster"}},
            "tolerations": [{"key": "x", "operator": "Exists"}],
        }
    }
    project = {"datum_tries": 4, "description": "of the project", "resource_requests": {"memory": "256Mi"}}
    spec = parse(
        transform={"image": "i", "cmd": ["c"], "env": {"A": "mine"}},
        resource_requests={"disk": None},
        description="mine",
        defaults=[cluster, project],
    )
    assert spec.datum_tries == 4
    assert spec.description == "mine"
    assert dict(spec.transform.env) == {"A": "mine", "B": "cluster"}
    assert spec.resource_requests.amounts() == {"cpu": "1", "memory": "256Mi"}
    assert spec.tolerations[0].key == "x"
    with pytest.raises(InvalidSpec, match=r"defaults, .*datumTrys: unknown field"):
        parse(defaults=[{"datumTrys": 1}])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"transform": {"image": "i", "cmd": ["c"], "user": "jupyter"}}, "which only the image can resolve"),
        ({"transform": {"image": "i", "cmd": ["c"], "build": {"path": "."}}}, "build and push the image before"),
        ({"tolerations": [{"operator": "Near"}]}, "tolerations[0].operator: 'Near' is none of Equal, Exists"),
        ({"pod_patch": '[{"op": "ad", "path": "/x"}]'}, "operation 0 of the JSON patch"),
        ({"pod_patch": '{"op": "add"}'}, "a JSON patch is a list of operations"),
        ({"pod_patch": "[nonsense"}, "pod_patch: not JSON"),
        ({"pod_spec": "[1]"}, "pod_spec"),
        ({"parallelism_spec": {"constant": 1, "coefficient": 2}}, "keep one of them"),
        ({"egress": {"URL": "bucket"}}, "has no scheme"),
        ({"service": {"internal_port": 1}, "egress": {"URL": "s3://a"}}, "a service makes no commits"),
        ({"pipeline": {"name": "p", "project": "vision"}}, "'pipeline.project' cannot be 'vision'"),
        ({"transform": {"image": "i", "cmd": ["c"], "env": {"A": 1}}}, "transform.env.A: "),
        ({"egrss": {}}, "did you mean 'egress'?"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(changed, words):
    assert words in refused(**changed)


def test_all_problems_are_told_at_once():
    told = refused(tf_job={"a": 1}, datum_trees=3, datum_tries=-1).splitlines()
    assert len(told) == 3
    assert all("pipeline 'edges'" in line for line in told)
