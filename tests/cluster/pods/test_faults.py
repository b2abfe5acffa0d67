"""What goes wrong with pods, and how it ends: the right state, the right message, no output lost or doubled."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import models as k8s

from airflow_pachy.errors import JobFailed
from airflow_pachy.pipelines import inspect_job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

UPPER = 'f=$(echo /pfs/words/*); tr a-z A-Z <$f >/pfs/out/${f##*/}; echo "did ${f##*/}"'
UPPERED = {"/a": b"ALPHA\n", "/b": b"BETA\n", "/c": b"GAMMA\n", "/d": b"DELTA\n"}
ONE_BY_ONE = f"{UPPER}; sleep 2"
TRICKS = {
    "shadow": "ln -s /etc/shadow /pfs/out/x",
    "environ": "ln -s /proc/1/environ /pfs/out/x",
    "through": "mkdir /pfs/out/d; ln -s ../../../hlp /pfs/out/d/x",
    "scratch": "ln -s /hlp /pfs/out/x",
    "pipe": "mkfifo /pfs/out/x",
    "device": "mknod /pfs/out/x c 1 5",
    "out_is_a_link": "rm -r /pfs/out; ln -s / /pfs/out",
    "out_is_a_file": "rm -r /pfs/out; echo x >/pfs/out",
    "out_is_gone": "rm -r /pfs/out",
    "input_is_a_link": "rm -r /pfs/tricks; ln -s /etc /pfs/tricks; ln -s /pfs/tricks/passwd /pfs/out/x",
}
HARMLESS = {
    "stage_is_a_link": "mv /pfs/.pfs/stage /pfs/.pfs/moved; ln -s /hlp /pfs/.pfs/stage; echo y >/pfs/out/stage",
    "beats_are_links": "ln -s /dev/termination-log /pfs/.pfs/helper.hb.new; sleep 3; echo y >/pfs/out/beats",
    "daemon": "(setsid sh -c 'sleep 300' >/dev/null 2>&1 &); echo y >/pfs/out/daemon",
    "undisturbed": "pidof sleep && exit 9; echo y >/pfs/out/undisturbed",
}


HARMLESS_OUTPUT = ("stage", "beats", "daemon", "undisturbed")


def pid_of(pattern: str, uid: str) -> int:
    """The first process of a pod's container, seen from its node."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            first = re.search(r"^NSpid:.*\s1$", (entry / "status").read_text(), re.MULTILINE)
            ours = uid in (entry / "cgroup").read_text().replace("_", "-")
            if first and ours and pattern in (entry / "cmdline").read_text():
                return int(entry.name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    pytest.skip("the pod's processes are on another machine")


def kill(job: Any, pattern: str, after: str = "did a") -> Any:
    pod = job.wait_for_line(after)
    os.kill(pid_of(pattern, pod.metadata.uid), signal.SIGKILL)
    return pod


@pytest.fixture(scope="module", autouse=True)
def stories(scenarios, stage, connect, make_proxy, cluster, s3_pod_endpoint):
    """Plan one job for each story, in turn, and let them all run together."""
    stage.repo("tricks", {f"/{name}": b"" for name in (*TRICKS, *HARMLESS)})
    stage.repo("large", {"/file": os.urandom(30 << 20)})
    through = s3_pod_endpoint.rpartition(":")[0]
    proxy, slow, impatient = make_proxy(), make_proxy(), make_proxy()
    connect("pachy_proxy", worker_endpoint_url=f"{through}:{proxy.port}")
    connect("pachy_slow", worker_endpoint_url=f"{through}:{slow.port}")
    connect("pachy_impatient", worker_endpoint_url=f"{through}:{impatient.port}", read_timeout=4, max_attempts=2)
    cluster.core.create_namespaced_secret(
        cluster.namespace,
        {"metadata": {"name": "bad"}, "stringData": {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}},
    )
    connect("pachy_bad", worker_secret="bad")

    def tell(name: str, job: Any, story: Any = None) -> None:
        scenarios.start(name, lambda: SimpleNamespace(job=job, ended=story(job) if story else job.run()))

    def outage(job: Any) -> None:
        job.wait_for_line("did a")
        proxy.shut()
        time.sleep(30)
        proxy.open()

    dead = stage.job(ONE_BY_ONE, task={"deferrable": True})
    tell("helper", dead, lambda job: job.run_while(lambda job: kill(job, "airflow_pachy.worker")))
    tell("container", stage.job(ONE_BY_ONE), lambda job: job.run_while(lambda job: kill(job, ".pfs/shim.sh")))

    def hang(proxy: Any) -> Any:
        def disturb(job: Any) -> None:
            job.wait_for_line("did a")
            proxy.hang()
            time.sleep(30)
            proxy.flow()

        return lambda job: job.run_while(disturb)

    slowly = f"{UPPER}; sleep 6"
    away = {"pfs_conn_id": "pachy_proxy"}
    tell("outage", stage.job(slowly, task=away), lambda job: job.run_while(outage))
    tell("hanging", stage.job(slowly, task={"pfs_conn_id": "pachy_slow"}), hang(slow))
    tell("hanging, short time-outs", stage.job(slowly, task={"pfs_conn_id": "pachy_impatient"}), hang(impatient))
    full = "case $words in */b) dd if=/dev/zero of=/pfs/out/big bs=1M count=300; sleep 240;; esac"
    tell("disk", stage.job(f"{UPPER}; {full}"))
    hungry = "case $words in */b) dd if=/dev/zero of=/dev/null bs=300M count=1;; esac"
    tell("memory", stage.job(f"{UPPER}; {hungry}"))

    def delete(job: Any) -> None:
        pod = job.wait_for_line("did a")
        cluster.core.delete_namespaced_pod(pod.metadata.name, cluster.namespace, grace_period_seconds=1)

    tell("deleted", stage.job(ONE_BY_ONE), lambda job: job.run_while(delete))
    tell("deleted deferred", stage.job(ONE_BY_ONE, task={"deferrable": True}), lambda job: job.run_while(delete))
    tell("image", stage.job(UPPER, image="no-such-image:local"))
    nowhere = {"pod": {"node_selector": {"no": "such"}, "schedule_timeout_seconds": 3}}
    tell("unschedulable", stage.job(UPPER, task=nowhere))
    tell("credentials", stage.job(UPPER, task={"pfs_conn_id": "pachy_bad"}))
    small = {"limits": {"memory": "64Mi", "ephemeral-storage": "40Mi"}}
    tell("budget", stage.job("true", repo="large", task={"container_resources": small}))
    stubborn = "case $words in */b) trap '' TERM; echo stubborn; sleep 100;; esac"
    tell("stubborn", stage.job(f"{UPPER}; {stubborn}", datum_timeout="3s"))
    cases = "; ".join(f"{name}) {trick};;" for name, trick in (TRICKS | HARMLESS).items())
    tell("tricks", stage.job(f"case ${{tricks##*/}} in {cases.replace(';;;', ';;')} esac", repo="tricks"))

    def twice(job: Any) -> list[Any]:
        alone = {"pod": {"reattach_on_restart": False}}
        return job.run_while(lambda job: setattr(job, "second", job.run(2, **alone)), **alone)

    # Long enough that the second begins before the first has recorded anything.
    tell("two attempts", stage.job(f"{UPPER}; sleep 6"), twice)

    def adopted(job: Any) -> Any:
        return job.run_while(lambda job: setattr(job, "second", job.wait_for_line("did a") and job.run()))

    tell("adopted", stage.job(ONE_BY_ONE), adopted)

    def reattach(job: Any) -> Any:
        stage.start_task(job.key, job.arguments)
        return job.run(2)

    tell("worker restarted", stage.job(ONE_BY_ONE), reattach)

    def end_task(job: Any) -> None:
        job.wait_for_line("did a")
        stage.operators[job.key].on_kill()

    tell("killed", stage.job(ONE_BY_ONE), lambda job: job.run_while(end_task))
    name = "repaired"
    cluster.core.create_namespaced_config_map(
        cluster.namespace, {"metadata": {"name": name}, "data": {"REPAIRED": "1"}}
    )
    repaired = [k8s.V1EnvFromSource(config_map_ref=k8s.V1ConfigMapEnvSource(name=name))]
    fragile = f'case $words in */b) test -n "$REPAIRED";; esac; {UPPER}'

    def clear(job: Any) -> Any:
        job.first = job.run()
        return job.run(2, pod={"env_from": repaired})

    tell("cleared", stage.job(fragile), clear)
    late = {"deferrable": True, "execution_timeout": timedelta(seconds=6)}
    tell("time", stage.job(f"{UPPER}; sleep 100", task=late))
    endless = f"{UPPER}; case $words in */b) sleep 300;; esac"
    for mode in ("waiting", "deferred"):
        limit = {"deferrable": mode == "deferred", "execution_timeout": timedelta(seconds=45)}
        tell(f"job time {mode}", stage.job(endless, job_timeout="45s", task=limit))


def succeeded(story: Any, *, records: int = 1) -> None:
    """The set is done, the output is there once, and no datum's success was recorded more often than `records`."""
    job, pfs = story.job, story.job.stage.pfs
    assert story.ended.error is None, story.ended.text
    assert job.assemble() == UPPERED
    assert len(list(pfs.list_commits(f"out{job.number}@master"))) == 1
    told = inspect_job(pfs, job.plan.job_id)
    assert (told.state, told.datums_processed, told.datums_failed, told.datums_total) == ("success", 4, 0, 4)
    times = Counter(result.datum for result in job.results() if result.state == "success")
    assert len(times) == 4
    assert max(times.values()) <= records
    no_pod_is_left(job)


def published_nothing(story: Any, message: str) -> None:
    """The job has failed, says why, and what its branch had before is all that it has."""
    job, pfs = story.job, story.job.stage.pfs
    with pytest.raises(JobFailed, match=message):
        job.assemble()
    told = inspect_job(pfs, job.plan.job_id)
    assert told.state == "failed"
    assert re.search(message, told.error)
    assert pfs.inspect_branch(f"out{job.number}@master").head is None
    no_pod_is_left(job)


def no_pod_is_left(job: Any) -> None:
    assert [pod.metadata.name for pod in job.pods() if pod.metadata.deletion_timestamp is None] == []


def test_a_user_process_that_is_killed_for_its_memory(scenarios):
    story = scenarios.end_of("memory")
    assert story.ended.final, story.ended.text
    for text in ("1 of 4 datums", "words:/b", "exit code 137", "for want of memory", "clear this task"):
        assert text in story.ended.text
    assert Counter(result.state for result in story.job.results()) == {"success": 3, "failed": 1}
    published_nothing(story, "1 of 4 datums failed")


def test_a_user_container_that_dies_whole_costs_one_datum(scenarios):
    story = scenarios.end_of("container")
    assert story.ended.final, story.ended.text
    assert "the user's container died while it ran datum" in story.ended.text
    assert "Replacing the pod" in story.ended.text, "the others of the set are done elsewhere"
    assert Counter(result.state for result in story.job.results()) == {"success": 3, "failed": 1}
    published_nothing(story, "1 of 4 datums failed")


def test_a_helper_that_is_killed(scenarios):
    story = scenarios.end_of("helper")
    assert "the helper container was killed (137)" in story.ended.text
    assert "replacement 1 of 5" in story.ended.text
    succeeded(story)


@pytest.mark.parametrize("name", ["deleted", "deleted deferred"])
def test_a_pod_that_is_deleted_is_replaced(scenarios, name):
    story = scenarios.end_of(name)
    assert "replacement 1 of 5" in story.ended.text
    succeeded(story)


def test_an_image_that_does_not_exist_is_said_at_once(scenarios):
    story = scenarios.end_of("image")
    assert story.ended.final
    assert "image 'no-such-image:local' of container base cannot be pulled" in story.ended.text
    assert "check its name and pull secret" in story.ended.text
    published_nothing(story, "4 left no result")


def test_a_pod_that_no_node_takes(scenarios):
    story = scenarios.end_of("unschedulable")
    assert story.ended.error is not None
    assert not story.ended.final, "the cluster may have room later"
    assert "no node took it within 3 seconds" in story.ended.text
    assert "0/1 nodes are available" in story.ended.text
    published_nothing(story, "4 left no result")


def test_half_a_minute_without_s3_costs_nothing(scenarios):
    story = scenarios.end_of("outage")
    succeeded(story, records=2)
    assert "Replacing" not in story.ended.text, "the pod has waited"


@pytest.mark.parametrize("name", ["hanging", "hanging, short time-outs"])
def test_half_a_minute_of_an_s3_that_takes_requests_and_does_not_answer(scenarios, name):
    story = scenarios.end_of(name)
    # A record whose answer came too late for its sender is written twice, and counts once.
    succeeded(story, records=2)
    assert "Replacing" not in story.ended.text, "the pod has waited"


def test_wrong_credentials_are_said_and_not_tried_again(scenarios):
    story = scenarios.end_of("credentials")
    assert story.ended.final
    assert "the helper cannot work as it is configured" in story.ended.text
    assert "check the access key" in story.ended.text
    assert "Replacing" not in story.ended.text
    published_nothing(story, "4 left no result")


def test_a_pod_that_fills_its_disk_is_evicted_and_says_which_knob(scenarios):
    story = scenarios.end_of("disk")
    assert story.ended.final, story.ended.text
    assert "Evicted" in story.ended.text
    assert "Raise ephemeral-storage in container_resources" in story.ended.text
    results = story.job.results()
    done = sorted(output.path for result in results for output in result.outputs)
    assert {result.state for result in results} <= {"success"}, [story.ended.text, *results]
    assert len(set(done)) == len(done) == len(results), [story.ended.text, *results]
    assert not {"b", "big"} & set(done), "of what was not done nothing is said"
    published_nothing(story, f"{4 - len(done)} left no result")


def test_a_datum_larger_than_the_disk_is_refused_before_its_download(scenarios):
    story = scenarios.end_of("budget")
    assert story.ended.final
    assert "its inputs are 31,457,280 bytes, and the space for staged inputs is 20,971,520 bytes" in story.ended.text
    published_nothing(story, "1 of 1 datums failed")


def test_a_process_that_ignores_term_is_killed(scenarios):
    story = scenarios.end_of("stubborn")
    assert story.ended.final
    assert "longer than datum_timeout (3 s)" in story.ended.text
    assert "| stubborn" in story.ended.text
    assert "exit code 137" in story.ended.text
    assert Counter(result.state for result in story.job.results()) == {"success": 3, "failed": 1}
    published_nothing(story, "1 of 4 datums failed")


def test_hostile_outputs_are_refused_by_name_and_lead_nowhere(scenarios, stage):
    story = scenarios.end_of("tricks")
    assert story.ended.final, story.ended.text
    results = {result.log_tail or result.datum: result for result in story.job.results()}.values()
    failed = [result for result in results if result.state == "failed"]
    done = [result for result in results if result.state == "success"]
    assert len(failed) == len(TRICKS), [(result.state, result.reason) for result in results]
    assert {entry.path for result in done for entry in result.outputs} == set(HARMLESS_OUTPUT)
    assert all("/pfs/out" in result.reason for result in failed), [result.reason for result in failed]
    reasons = "\n".join(result.reason for result in failed)
    for text in ("link to /etc/shadow", "link to /proc/1/environ", "link to /hlp", "a named pipe", "a device"):
        assert text in reasons
    published_nothing(story, f"{len(TRICKS)} of {len(TRICKS | HARMLESS)} datums failed")


def test_two_attempts_of_a_set_at_once_give_its_output_once(scenarios):
    story = scenarios.end_of("two attempts")
    assert story.job.second.error is None, story.job.second.text
    assert max(Counter(result.datum for result in story.job.results()).values()) == 2, "both did the work"
    succeeded(story, records=2)


def test_creating_a_pod_twice_adopts_the_first(scenarios):
    story = scenarios.end_of("adopted")
    assert "Adopting pod" in story.job.second.text
    assert story.job.second.error is None, story.job.second.text
    assert len(story.job.results()) == 4
    succeeded(story)


def test_a_worker_that_comes_back_finds_its_pod(scenarios):
    story = scenarios.end_of("worker restarted")
    assert "Reattaching to pod" in story.ended.text
    assert len(story.job.results()) == 4
    succeeded(story)


def test_a_cleared_task_runs_only_what_failed(scenarios):
    story = scenarios.end_of("cleared")
    assert story.job.first.final, story.job.first.text
    assert len(story.job.results()) == 5
    succeeded(story)


def test_killing_the_task_deletes_its_pod_and_keeps_what_was_done(scenarios):
    story = scenarios.end_of("killed")
    assert "the task was told to end" in story.ended.text
    no_pod_is_left(story.job)
    assert "Replacing" not in story.ended.text
    again = story.job.run(2)
    assert again.error is None, again.text
    assert len(story.job.results()) < 8
    assert story.job.assemble() == UPPERED


def test_the_time_limit_of_the_task(scenarios):
    story = scenarios.end_of("time")
    assert "execution_timeout (job_timeout) is over" in story.ended.text
    assert not story.ended.final
    published_nothing(story, "left no result")


@pytest.mark.parametrize("mode", ["waiting", "deferred"])
def test_a_job_whose_time_is_up_is_ended_and_keeps_what_is_done(scenarios, mode):
    story = scenarios.end_of(f"job time {mode}")
    assert story.ended.final, story.ended.text
    assert "the job's time (job_timeout) was up at" in story.ended.text
    done = [result.state for result in story.job.results()]
    assert set(done) <= {"success"}, "who was not done in time has not failed"
    published_nothing(story, f"killed at .*, the end of its job_timeout.*: {4 - len(done)} of 4 datums were not done")


ASSEMBLE = """
import os, signal, sys
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.objects.s3 import S3Store
from airflow_pachy.pipelines import assemble_job

storage, metadata, endpoint, job, left = sys.argv[1:]
left = int(left)
put = S3Store.put

def dying_put(self, *args, **kwargs):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return put(self, *args, **kwargs)

S3Store.put = dying_put
with Pfs.open(storage=storage, metadata=metadata, s3={"endpoint_url": endpoint}) as pfs:
    assemble_job(pfs, job)
"""


def test_an_assembly_that_is_killed_halfway_is_run_again(stage, place):
    job = stage.job(UPPER)
    assert job.run().error is None
    arguments = [place["storage"], place["metadata"], os.environ["PACHY_TEST_S3_ENDPOINT"], job.plan.job_id]
    codes = []
    for puts in range(3):
        command = [sys.executable, "-c", ASSEMBLE, *arguments, str(puts)]
        codes.append(subprocess.run(command, check=False, capture_output=True).returncode)
    assert codes[0] == -signal.SIGKILL
    assert job.assemble() == UPPERED
    assert job.assemble() == UPPERED
    assert len(list(stage.pfs.list_commits(f"out{job.number}@master"))) == 1
