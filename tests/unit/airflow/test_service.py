"""Services: what a task puts into the cluster, and what becomes of it; the Kubernetes API is a double."""

import json
from copy import deepcopy
from types import SimpleNamespace

import pytest
from kubernetes.client import models as k8s

from airflow_pachy.dags import pipeline_dag, pipelines_dag
from airflow_pachy.errors import Conflict, InvalidSpec
from airflow_pachy.hooks.airflow_errors import AirflowFailException, AirflowSkipException
from airflow_pachy.hooks.pfs import PfsHook
from airflow_pachy.operators import PfsServiceOperator
from airflow_pachy.operators.standing_pod import StandingPod
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import PipelineSpec
from airflow_pachy.pipelines.lifecycle import create_pipeline, delete_pipeline, start_pipeline, stop_pipeline
from airflow_pachy.pipelines.standing import find_standing, forget_standing
from airflow_pachy.worker.plan import decode_plan

SPEC = {
    "pipeline": {"name": "shop"},
    "input": {"pfs": {"repo": "pages", "glob": "/"}},
    "transform": {"image": "user:1", "cmd": ["sh"], "stdin": ["exec serve $HOME"], "env": {"A": "$(B)"}},
    "service": {"internal_port": 8080, "external_port": 30080},
}
EXTRA = {
    "storage": "s3://bucket/prefix",
    "worker_endpoint_url": "http://inside:9000",
    "namespace": "data",
    "helper_image": "helper:1",
    "worker_secret": "s3-keys",
}


class Cluster:
    """What a namespace holds, as `pods.apply.Cluster` shows it; each look finds the next of `looks`."""

    def __init__(self):
        self.deployments, self.services = [], []
        self.removed = []
        self.status = {"replicas": 1, "updated_replicas": 1, "available_replicas": 1, "observed_generation": 1}
        self.pods = []

    def apply_deployment(self, wanted, owner):
        self.deployments.append(deepcopy(wanted))
        return wanted

    def apply_service(self, wanted, owner):
        self.services.append(deepcopy(wanted))
        return wanted

    def read(self, name):
        found = deepcopy(self.deployments[-1])
        found.metadata.generation = 1
        found.status = k8s.V1DeploymentStatus(**self.status)
        return found, self.pods


@pytest.fixture
def cluster(monkeypatch):
    cluster = Cluster()
    monkeypatch.setattr(StandingPod, "cluster", cluster)
    monkeypatch.setattr(StandingPod, "client", SimpleNamespace(api_client=None))
    monkeypatch.setattr(StandingPod, "hook", SimpleNamespace(is_in_cluster=False))
    monkeypatch.setattr(
        "airflow_pachy.pods.apply.Cluster.remove", lambda _self, name, owner: cluster.removed.append((name, owner))
    )
    monkeypatch.setattr("airflow_pachy.pods.apply.Cluster.__init__", lambda *_: None)
    return cluster


@pytest.fixture
def pfs(monkeypatch, tmp_path):
    """A connection that names S3 for the pods, with a store in memory behind it here."""
    with Pfs.open(storage=f"memory://{tmp_path.name}", metadata=f"sqlite:///{tmp_path}/pachy.db") as pfs:
        connection = {"conn_type": "pachy", "login": "key", "password": "hush", "extra": EXTRA}
        monkeypatch.setenv("AIRFLOW_CONN_PACHY_DEFAULT", json.dumps(connection))
        places = {"storage": f"memory://{tmp_path.name}", "metadata": f"sqlite:///{tmp_path}/pachy.db"}
        monkeypatch.setattr(PfsHook, "get_conn", lambda _self: Pfs.open(**places))
        pfs.create_repo("pages")
        pfs.put_file("pages@master:/index.html", "one")
        yield pfs


def context(**conf):
    return {"dag_run": SimpleNamespace(conf=conf), "ti": SimpleNamespace(try_number=1)}


def run(spec=SPEC, **conf):
    (task,) = pipeline_dag(spec, stage={"deferrable": False, "runner": "auto"}).tasks
    assert isinstance(task, PfsServiceOperator)
    return task.execute(context(**conf))


def head(pfs):
    return pfs.inspect_branch("pages@master").head.partition("@")[2] or pfs.inspect_branch("pages@master").head


def test_a_spec_becomes_a_deployment_with_the_files_staged_before(pfs, cluster):
    answer = run()
    assert answer == {
        "pipeline": "shop",
        "name": "pachy-shop",
        "namespace": "data",
        "port": 30080,
        "node_port": 30080,
        "commits": {"pages@master": head(pfs)},
    }
    (made,) = cluster.deployments
    assert (made.metadata.name, made.spec.replicas, made.spec.strategy.type) == ("pachy-shop", 1, "RollingUpdate")
    assert (made.spec.strategy.rolling_update.max_unavailable, made.spec.strategy.rolling_update.max_surge) == (0, 1)
    pod = made.spec.template.spec
    assert (pod.restart_policy, pod.automount_service_account_token) == ("Always", False)
    (helper,), (base,) = pod.init_containers, pod.containers
    assert (helper.name, helper.args, helper.env_from[0].secret_ref.name) == ("helper", ["stage"], "s3-keys")
    assert (base.name, base.image, base.env_from) == ("base", "user:1", [])
    assert base.readiness_probe.tcp_socket.port == 8080
    plan = decode_plan({one.name: one.value for one in helper.env}["PACHY_PLAN"].replace("$$", "$").encode())
    (item,) = plan.datums[0].inputs
    assert (item.name, item.commit, plan.transform.stdin) == ("pages", head(pfs), ("exec serve $HOME",))
    assert "hush" not in str(made)


def test_kubernetes_replaces_nothing_in_what_the_author_wrote(pfs, cluster):
    run()
    base = cluster.deployments[0].spec.template.spec.containers[0]
    env = {one.name: one.value for one in base.env}
    assert (env["A"], env["pages"], env["pages_COMMIT"]) == ("$$(B)", "/pfs/pages", head(pfs))
    assert env["PPS_PIPELINE_NAME"] == "shop"
    assert "PACH_OUTPUT_COMMIT_ID" not in env
    assert base.command[-3:] == ["pfs", "/pfs/.pfs/stdin", "sh"]
    assert '"$$@"' in base.command[3]


def test_the_service_has_the_ports_of_the_spec(pfs, cluster):
    run()
    run(SPEC | {"service": {"internal_port": 8080, "type": "ClusterIP", "annotations": {"a": "b"}}})
    node, inner = (one.spec for one in cluster.services)
    assert (node.type, node.ports[0].port, node.ports[0].target_port, node.ports[0].node_port) == (
        *("NodePort", 30080, 8080, 30080),
    )
    assert (inner.type, inner.ports[0].port, inner.ports[0].node_port) == ("ClusterIP", 8080, None)
    assert cluster.services[1].metadata.annotations["a"] == "b"
    assert node.selector == cluster.deployments[0].spec.template.metadata.labels == {"pachy-standing": "pachy-shop"}


def test_the_same_commit_gives_the_same_pod_and_a_new_one_another(pfs, cluster):
    run()
    run()
    pfs.put_file("pages@master:/index.html", "two")
    run()
    first, again, third = (one.spec.template for one in cluster.deployments)
    assert first == again
    assert first != third
    assert find_standing(pfs, "shop").commits == {"pages@master": head(pfs)}


def test_a_chosen_commit_is_served(pfs, cluster):
    first = head(pfs)
    pfs.put_file("pages@master:/index.html", "two")
    assert run(commits={"pages@master": first})["commits"] == {"pages@master": first}


def test_what_is_served_survives_garbage_collection_even_when_it_is_deleted(pfs, cluster):
    pfs.put_file("pages@master:/large", b"x" * 100_000)
    run()
    (served,) = find_trees(pfs)
    tree_of_served = pfs.tree("pages@master")
    pfs.delete_commit(f"pages@{head(pfs)}")
    pfs.gc(dry_run=False, grace=no_time())
    assert [entry.path for entry in tree_of_served.entries()] == ["index.html", "large"]
    assert pfs.content_reader.read(tree_of_served.get("large").content) == b"x" * 100_000
    run()
    assert served not in find_trees(pfs)


def test_while_a_new_pod_is_not_ready_the_trees_of_the_old_one_are_kept(pfs, cluster):
    run()
    (old,) = find_trees(pfs)
    pfs.put_file("pages@master:/index.html", "two")
    cluster.status |= {"replicas": 2, "updated_replicas": 1, "available_replicas": 1}
    cluster.pods = [waiting("ErrImagePull", "no such image")]
    with pytest.raises(AirflowFailException, match=r"no such image.*goes on serving"):
        run()
    assert old in find_trees(pfs)
    assert len(find_trees(pfs)) == 2
    info = find_standing(pfs, "shop")
    assert (info.state, "no such image" in info.message) == ("failed", True)


def test_a_stopped_pipeline_is_taken_down_by_the_next_run(pfs, cluster):
    run()
    stop_pipeline(pfs, "shop")
    with pytest.raises(AirflowSkipException, match="stopped"):
        run()
    owner = {"airflow-pachy/pipeline": "shop", "airflow-pachy/storage": pfs.store.url}
    assert cluster.removed == [("pachy-shop", owner)]
    assert find_standing(pfs, "shop") is None
    start_pipeline(pfs, "shop")
    assert run()["name"] == "pachy-shop"


def test_a_pipeline_that_stands_is_not_deleted_behind_its_back(pfs, cluster):
    run()
    with pytest.raises(Conflict, match="pachy stop pipeline shop"):
        delete_pipeline(pfs, "shop")
    delete_pipeline(pfs, "shop", force=True)


def test_an_input_without_commits_serves_nothing_yet(pfs, cluster):
    pfs.create_repo("empty")
    with pytest.raises(AirflowSkipException, match="nothing to serve yet"):
        run(SPEC | {"input": {"pfs": {"repo": "empty", "glob": "/"}}})
    assert cluster.deployments == []


def test_a_service_sees_one_datum(pfs, cluster):
    pfs.put_file("pages@master:/other", "x")
    with pytest.raises(AirflowFailException, match=r'several datums now: use glob "/"'):
        run(SPEC | {"input": {"pfs": {"repo": "pages", "glob": "/*"}}})


def test_without_kubernetes_it_says_what_to_do(pfs, cluster, monkeypatch):
    connection = {"conn_type": "pachy", "extra": {**EXTRA, "storage": "file:///data"}}
    monkeypatch.setenv("AIRFLOW_CONN_PACHY_DEFAULT", json.dumps(connection))
    with pytest.raises(AirflowFailException, match=r"file:///data.*pachy get file -r"):
        run()


def test_a_stage_before_a_service_comes_first():
    edges = {
        "pipeline": {"name": "pages"},
        "input": {"pfs": {"repo": "raw", "glob": "/*"}},
        "transform": {"cmd": ["c"]},
    }
    specs = [PipelineSpec.parse(one)[0] for one in (SPEC, edges)]
    dag = pipelines_dag(specs, dag_id="both")
    assert "pages.assemble" in dag.get_task("shop").upstream_task_ids


def test_a_port_is_needed():
    with pytest.raises(InvalidSpec, match="internal_port"):
        PfsServiceOperator(task_id="t", input=SPEC["input"], service={}, image="i", cmds=["c"])


def find_trees(pfs):
    from airflow_pachy.metadata.models import Standing

    with pfs.metadata.reader() as session:
        return session.get(Standing, "shop").trees


def no_time():
    from datetime import timedelta

    return timedelta(0)


def waiting(reason, message):
    from datetime import UTC, datetime

    state = k8s.V1ContainerState(waiting=k8s.V1ContainerStateWaiting(reason=reason, message=message))
    status = k8s.V1ContainerStatus(name="base", image="user:1", image_id="", ready=False, restart_count=0, state=state)
    return k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name="pachy-shop-1", creation_timestamp=datetime.now(UTC)),
        status=k8s.V1PodStatus(phase="Pending", container_statuses=[status]),
    )


def test_a_service_that_stands_does_not_become_something_else(pfs, cluster):
    run()
    datums = {name: value for name, value in SPEC.items() if name != "service"}
    with pytest.raises(Conflict, match="stop it first"):
        create_pipeline(pfs, PipelineSpec.from_dict(datums), update=True)
    stop_pipeline(pfs, "shop")
    forget_standing(pfs, "shop")
    assert create_pipeline(pfs, PipelineSpec.from_dict(datums), update=True).version == 2
