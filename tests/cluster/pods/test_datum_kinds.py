"""Datums that share a process, have pipes or stand-ins for files, write nothing, or a lot, in pods."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from kubernetes.client import models as k8s

from airflow_pachy.pipelines import assemble_job

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

WORDS = {"/a": b"alpha\n", "/b": b"beta\n", "/c": b"gamma\n", "/d": b"delta\n"}
UPPERED = {path: content.upper() for path, content in WORDS.items()}
BATCH = """
cd "$PACH_BATCH"
echo "batch of $(ls | wc -l) datums"
for datum in *; do
  f=$(echo "$datum"/words/*)
  BODY
  tr a-z A-Z <"$f" >"$datum/out/${f##*/}"
  echo "did ${f##*/}"
  touch "$datum/done"
done
"""
SAYS = 'case $f in */b) echo "cannot do $f" >"$datum/error"; continue;; esac'
DIES = "case $f in */b) kill -9 $$;; esac"
FILES, FILE_BYTES = 10_000, 3_000
MANY = f"""
import os
for number in range({FILES}):
    with open(f"/pfs/out/{{number:05d}}", "wb") as file:
        file.write(os.urandom({FILE_BYTES}))
"""
LARGE_MIB = 350
LARGE = f"dd if=/dev/urandom of=/pfs/out/large bs=1M count={LARGE_MIB}"
HELPER_MEMORY = "320Mi"


PRIORITY = 1_000


@pytest.fixture(scope="module")
def priority(cluster) -> Iterator[str]:
    """The name of a priority class, which belongs to no namespace."""
    from kubernetes import client

    classes, name = client.SchedulingV1Api(cluster.core.api_client), f"{cluster.namespace}-batch"
    classes.create_priority_class({"metadata": {"name": name}, "value": PRIORITY, "preemptionPolicy": "Never"})
    yield name
    classes.delete_priority_class(name)


@pytest.fixture(scope="module", autouse=True)
def stories(scenarios, stage, connect, make_proxy, s3_pod_endpoint, python_image, priority):
    stage.repo("one", {"/file": b"x"})
    proxy = make_proxy()
    connect("pachy_proxy", worker_endpoint_url=f"http://{urlsplit(s3_pod_endpoint).hostname}:{proxy.port}")

    def tell(name: str, *job: Any, **details: Any) -> None:
        planned = stage.job(*job, **details)
        scenarios.start(name, lambda: SimpleNamespace(job=planned, ended=planned.run(), proxy=proxy))

    together = {"transform": {"batch": 3}, "task": {"pfs_conn_id": "pachy_proxy", "deferrable": True}}
    tell("batch", BATCH.replace("BODY", "true"), **together)
    tell("batch with an error", BATCH.replace("BODY", SAYS), transform={"batch": 10}, datum_tries=2)
    tell("batch that dies", BATCH.replace("BODY", DIES), transform={"batch": 10})
    lazy = {"pfs": {"repo": "words", "glob": "/*", "lazy": True}}
    tell("lazy", "f=$(echo /pfs/words/*); test -p $f; tr a-z A-Z <$f >/pfs/out/${f##*/}", input=lazy)
    tell("lazy, not read", "f=$(echo /pfs/words/*); test -p $f; echo ${f##*/} >/pfs/out/${f##*/}", input=lazy)
    empty = {"pfs": {"repo": "words", "glob": "/*", "empty_files": True}}
    tell("empty files", "f=$(echo /pfs/words/*); test ! -s $f; echo ${f##*/} >/pfs/out/${f##*/}", input=empty)
    tell("links", "mkdir /pfs/out/deep; ln -s $words /pfs/out/deep/; ln -s deep/${words##*/} /pfs/out/${words##*/}")
    tell("nothing", "true")
    codes = "case $words in */b) exit 3;; */c) echo again; exit 5;; */d) exit 7;; esac; echo x >/pfs/out/x"
    rescue = ["sh", "-c", "case $words in */d) exit 1;; esac"]
    tell("codes", codes, transform={"accept_return_code": [3], "err_cmd": rescue}, datum_tries=2)
    node = [k8s.V1NodeSelectorRequirement("kubernetes.io/os", "In", ["linux"])]
    placed = {
        "node_selector": {"kubernetes.io/os": "linux"},
        "tolerations": [k8s.V1Toleration(key="datums", operator="Exists")],
        "affinity": k8s.V1Affinity(
            node_affinity=k8s.V1NodeAffinity(
                required_during_scheduling_ignored_during_execution=k8s.V1NodeSelector(
                    [k8s.V1NodeSelectorTerm(match_expressions=node)]
                )
            )
        ),
        "labels": {"team": "vision"},
        "annotations": {"example.com/why": "a test"},
        "service_account_name": "datums",
        "priority_class_name": priority,
        "on_finish_action": "keep_pod",
    }
    stage.cluster.core.create_namespaced_service_account(stage.cluster.namespace, {"metadata": {"name": "datums"}})
    asked = {"requests": {"cpu": "30m", "memory": "24Mi"}, "limits": {"memory": "80Mi", "ephemeral-storage": "100Mi"}}
    tell("placed", "true", repo="one", task={"pod": placed, "container_resources": asked})
    gpu = {"limits": {"nvidia.com/gpu": "1"}}
    tell("gpu", "true", repo="one", task={"container_resources": gpu, "pod": {"schedule_timeout_seconds": 3}})
    written = {"image": python_image, "transform": {"cmd": ["python3", "-c", MANY]}}
    tell("many files", repo="one", task={"container_resources": roomy()}, **written)
    small = {"helper_resources": {"limits": {"memory": HELPER_MEMORY}}}
    tell("large file", LARGE, repo="one", task={"pod": small, "container_resources": roomy()})
    scenarios.start("incremental", lambda: grow(stage))


def grow(stage: Any) -> list[Any]:
    """Two jobs of an incremental pipeline, the second one on a file more; how their tasks ended."""
    stage.repo("growing", {"/day/a": b"1\n"})
    spec = {"pipeline": {"name": "grown"}, "repo": "growing", "incremental": True}
    ends = []
    for more in (None, {"/day/b": b"2\n"}):
        for path, content in (more or {}).items():
            stage.pfs.put_file(f"growing@master:{path}", content)
        job = stage.job("ls /pfs/growing/day >>/pfs/out/seen; cat /pfs/growing/day/* >>/pfs/out/all", **spec)
        ends.append(job.run())
        if ends[-1].error is None:
            assemble_job(stage.pfs, job.plan.job_id)
    return ends


def roomy() -> dict[str, Any]:
    return {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "128Mi", "ephemeral-storage": "2Gi"}}


def outputs(scenarios: Any, name: str) -> dict[str, bytes]:
    story = scenarios.end_of(name)
    assert story.ended.error is None, story.ended.text
    return story.job.assemble()


def test_datums_share_a_process(scenarios):
    assert outputs(scenarios, "batch") == UPPERED
    log = scenarios.end_of("batch").ended.text
    assert (log.count("batch of 3 datums"), log.count("batch of 1 datums")) == (1, 1)
    assert "::group::pfs: datum batch-" in log
    results = scenarios.end_of("batch").job.results()
    assert [result.state for result in results] == ["success"] * 4
    assert sum(result.process_us for result in results) > 0


def test_the_helper_deletes_nothing_from_the_bucket(scenarios):
    assert scenarios.end_of("batch").proxy.verbs == {"GET", "PUT"}


def test_one_datum_of_a_batch_says_that_it_failed(scenarios):
    story = scenarios.end_of("batch with an error")
    assert story.ended.final, story.ended.text
    for text in ("1 of 4 datums", "words:/b", "cannot do", "2 tries", "clear this task"):
        assert text in story.ended.text
    results = story.job.results()
    assert Counter(result.state for result in results) == {"success": 3, "failed": 1}
    assert {entry.path for result in results for entry in result.outputs} == {"a", "c", "d"}


def test_one_datum_of_a_batch_takes_the_process_down(scenarios):
    story = scenarios.end_of("batch that dies")
    assert story.ended.final, story.ended.text
    assert "exit code 137" in story.ended.text
    states = Counter(result.state for result in story.job.results())
    assert states == {"success": 3, "failed": 1}, "those that were not done have run again without it"


def test_lazy_inputs_are_pipes(scenarios):
    assert outputs(scenarios, "lazy") == UPPERED


def test_pipes_that_nobody_reads_hold_nothing_up(scenarios):
    assert outputs(scenarios, "lazy, not read") == {path: f"{path[1:]}\n".encode() for path in WORDS}


def test_empty_files_have_names_alone(scenarios):
    assert outputs(scenarios, "empty files") == {path: f"{path[1:]}\n".encode() for path in WORDS}


def test_links_to_inputs_move_no_bytes(scenarios, stage):
    assert outputs(scenarios, "links") == {**WORDS, **{f"/deep{path}": content for path, content in WORDS.items()}}
    job = scenarios.end_of("links").job
    assert [result.upload_bytes for result in job.results()] == [0] * 4
    source = {entry.path: entry.content for entry in stage.pfs.tree("words@master").entries()}
    for result in job.results():
        for entry in result.outputs:
            assert entry.content == source[entry.path.rpartition("/")[2]]


def test_an_incremental_datum_sees_what_is_new_and_its_last_output(scenarios, stage):
    ends = scenarios.end_of("incremental")
    assert [one.error for one in ends] == [None, None], ends[-1].text
    written = {name: stage.pfs.get_file(f"grown@master:/{name}") for name in ("seen", "all")}
    assert written == {"seen": b"a\nb\n", "all": b"1\n2\n"}


def test_no_output_is_a_success(scenarios):
    assert outputs(scenarios, "nothing") == {}
    assert [result.state for result in scenarios.end_of("nothing").job.results()] == ["success"] * 4


def test_exit_codes_that_count_as_success_and_commands_that_rescue(scenarios):
    story = scenarios.end_of("codes")
    assert story.ended.final, story.ended.text
    results = sorted((result.state, result.exit_code, result.tries) for result in story.job.results())
    assert results == [("failed", 7, 2), ("recovered", 5, 2), ("success", 0, 1), ("success", 3, 1)]
    assert "err_cmd ended with exit code 1" in story.ended.text


def test_where_and_as_what_a_pod_runs_is_the_authors_to_say(scenarios, cluster, priority):
    story = scenarios.end_of("placed")
    assert story.ended.error is None, story.ended.text
    (pod,) = story.job.pods()
    assert pod.status.phase == "Succeeded", "on_finish_action keeps it"
    assert pod.metadata.labels["team"] == "vision"
    assert pod.metadata.labels["task_id"] == "datums"
    assert pod.metadata.annotations["example.com/why"] == "a test"
    assert pod.spec.node_selector == {"kubernetes.io/os": "linux"}
    assert "datums" in [one.key for one in pod.spec.tolerations]
    assert pod.spec.affinity.node_affinity is not None
    assert (pod.spec.priority_class_name, pod.spec.priority) == (priority, PRIORITY)
    assert pod.spec.service_account_name == "datums"
    assert pod.metadata.namespace == cluster.namespace
    (base,) = [container for container in pod.spec.containers if container.name == "base"]
    assert base.resources.requests["cpu"] == "30m"
    assert base.resources.limits["memory"] == "80Mi"


def test_a_gpu_that_no_node_has(scenarios):
    story = scenarios.end_of("gpu")
    assert not story.ended.final
    assert "Insufficient nvidia.com/gpu" in story.ended.text


def test_ten_thousand_files_of_one_datum(scenarios):
    story = scenarios.end_of("many files")
    assert story.ended.error is None, story.ended.text
    (result,) = story.job.results()
    assert len(result.outputs) == FILES
    assert {entry.content.size_bytes for entry in result.outputs} == {FILE_BYTES}
    packs = {part.object for entry in result.outputs for part in entry.content.segments}
    assert len(packs) <= 4, "thousands of files in one upload"


def test_a_file_larger_than_the_helpers_memory(scenarios):
    story = scenarios.end_of("large file")
    assert story.ended.error is None, story.ended.text
    (result,) = story.job.results()
    assert [entry.content.size_bytes for entry in result.outputs] == [LARGE_MIB << 20]
    assert result.upload_bytes == LARGE_MIB << 20
