"""A datum set in a real pod: the user's image untouched, the helper beside it, results as the local runner's."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.client import models as k8s

from airflow_pachy.pfs.content import ContentReader, ContentWriter
from airflow_pachy.pfs.objects import open_store
from airflow_pachy.pfs.tree import Entry, NodeRef, Put, Tree, sorted_changes
from airflow_pachy.pods.parts import BASE, HELPER, add_to_pod, build_pod_parts
from airflow_pachy.pods.request import PodRequest
from airflow_pachy.pods.status import Verdict, VerdictKind, read_pod
from airflow_pachy.worker.local import LocalRunner
from airflow_pachy.worker.plan import DatumPlan, DatumResult, InputPlan, SetPlan, TransformPlan, plan_key, write_plan
from airflow_pachy.worker.records import read_set_results
from airflow_pachy.worker.run import run_set

if TYPE_CHECKING:
    from airflow_pachy.pfs.objects.store import ObjectStore

FILES = {
    "a.txt": b"alpha",
    "dir/b.bin": bytes(range(256)) * 40,
    "dir/c/run.sh": b"#!/bin/sh\necho hi\n",
    "big.bin": os.urandom(3 << 20),
    "naïve name *.txt": b"n" * 700,
}


@dataclass
class Bench:
    """Where a test's data and pods live."""

    cluster: Any
    store: ObjectStore
    url: str
    helper_image: str
    s3_endpoint: str
    tree: str

    def plan(self, paths: list[str], **transform: Any) -> SetPlan:
        job = secrets.token_hex(8)
        datums = tuple(
            DatumPlan(f"{number:032x}", (InputPlan("in", "images", "master", "c" * 32, self.tree, path),))
            for number, path in enumerate(paths)
        )
        return SetPlan(job, "0", "copy", "o" * 32, TransformPlan(**transform), f"jobs/{job}/0", datums)

    def run_in_pod(self, plan: SetPlan, image: str, **details: Any) -> tuple[Verdict, k8s.V1Pod]:
        """Run the plan in a pod made of the parts; the pod when all of it has ended."""
        name = f"datums-{plan.job}-{secrets.token_hex(2)}"
        key = plan_key(plan.job, 1, 0)
        write_plan(self.store, key, plan)
        request = PodRequest(
            helper_image=self.helper_image,
            storage=self.url,
            set_plan=key,
            attempt=name,
            credentials_secret=self.cluster.s3_secret,
            s3_endpoint=self.s3_endpoint,
            volume_bytes=1 << 30,
            kill_grace_seconds=1,
        )
        base = k8s.V1Container(name="base", image=image, command=list(plan.transform.cmd), **details)
        pod = k8s.V1Pod(metadata=k8s.V1ObjectMeta(name=name), spec=k8s.V1PodSpec(containers=[base]))
        self.cluster.create(add_to_pod(pod, build_pod_parts(request)))
        ended = self.cluster.wait(name, lambda pod: pod.status.phase in ("Succeeded", "Failed"))
        return read_pod(ended), ended

    def run_here(self, plan: SetPlan) -> None:
        with LocalRunner() as runner:
            run_set(self.store, plan, runner)

    def results(self, plan: SetPlan) -> list[DatumResult]:
        return sorted(read_set_results(self.store, plan.results_prefix), key=lambda result: result.datum)

    def contents(self, plan: SetPlan) -> list[Any]:
        """What decides about a datum's outcome, with the outputs' bytes, and nothing of time and place."""
        reader = ContentReader(self.store)
        return [
            (
                result.datum,
                result.state,
                result.tries,
                result.exit_code,
                [(entry.path, entry.executable, reader.read(entry.content)) for entry in result.outputs],
            )
            for result in self.results(plan)
        ]


@pytest.fixture
def bench(cluster, real_s3, helper_image, s3_pod_endpoint) -> Bench:
    store = open_store(real_s3.url, s3=real_s3.s3)
    with ContentWriter(store) as writer:
        entries = [Entry(path, writer.write(body), executable=path.endswith(".sh")) for path, body in FILES.items()]
    tree = Tree(store, None).apply(sorted_changes([Put(entry) for entry in entries]))
    return Bench(cluster, store, real_s3.url, helper_image, s3_pod_endpoint, str(tree.root))


def elsewhere(plan: SetPlan) -> SetPlan:
    """The same plan with records of its own."""
    return replace(plan, results_prefix=f"{plan.results_prefix}-here")


def test_the_image_says_what_it_is_and_starts_the_worker_quickly(cluster, helper_image):
    container = k8s.V1Container(
        name="about", image=helper_image, command=["/opt/pachy/bin/python", "-m", "airflow_pachy.worker.about"]
    )
    name = f"about-{secrets.token_hex(4)}"
    spec = k8s.V1PodSpec(containers=[container], restart_policy="Never")
    cluster.create(k8s.V1Pod(metadata=k8s.V1ObjectMeta(name=name), spec=spec))
    cluster.wait(name, lambda pod: pod.status.phase in ("Succeeded", "Failed"))
    about = json.loads(cluster.logs(name, "about").partition("helper image: ")[2])
    assert about["start_cpu_seconds"] < 1, "seconds say nothing where tests run side by side"
    assert about["size_mib"] < 330


def test_a_python_image_gives_what_the_local_runner_gives(bench, python_image):
    script = (
        "import os, shutil, sys\n"
        "print('working on', os.environ['in'])\n"
        "source = os.environ['in']\n"
        "if os.path.isdir(source):\n"
        "    shutil.copytree(source, '/pfs/out/tree')\n"
        "else:\n"
        "    shutil.copy(source, '/pfs/out/')\n"
        "os.symlink(source, '/pfs/out/link')\n"
        "with open('/pfs/out/env', 'w') as file:\n"
        "    names = 'in in_COMMIT PACH_JOB_ID PACH_OUTPUT_COMMIT_ID PACH_DATUM_ID PFS_ROOT'.split()\n"
        "    file.write(repr([os.environ[name] for name in names]) + sys.stdin.read())\n"
    )
    plan = bench.plan(
        ["a.txt", "dir", "big.bin", "naïve name *.txt", "/"], cmd=("python3", "-c", script), stdin=("one", "it's two")
    )
    verdict, pod = bench.run_in_pod(plan, python_image)
    assert verdict.kind is VerdictKind.DONE, (verdict, bench.cluster.logs(pod.metadata.name, HELPER))
    assert (verdict.base_exit_code, verdict.helper_exit_code) == (0, 0)
    local = elsewhere(plan)
    bench.run_here(local)
    assert bench.contents(plan) == bench.contents(local)
    outputs = {entry.path: entry for entry in bench.results(plan)[1].outputs}
    assert outputs["tree/c/run.sh"].executable
    inputs = Tree(bench.store, NodeRef.parse(bench.tree))
    assert outputs["link/b.bin"].content == inputs.get("dir/b.bin").content
    log = bench.cluster.logs(pod.metadata.name, BASE).splitlines()
    start = log.index(f"::group::pfs: datum {0:032x} start (in:/a.txt)")
    assert log[start + 1 : start + 4] == [
        "working on /pfs/in/a.txt",
        f"pfs: datum {0:032x} end 0",
        "::endgroup::",
    ]


def test_an_image_of_one_static_program_and_another_uid(bench, bare_image):
    plan = bench.plan(["a.txt", "dir"], cmd=("/cp", "-r", "/pfs/in", "/pfs/out/"))
    locked_down = k8s.V1SecurityContext(
        run_as_non_root=True,
        read_only_root_filesystem=True,
        allow_privilege_escalation=False,
        capabilities=k8s.V1Capabilities(drop=["ALL"]),
        seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
    )
    verdict, pod = bench.run_in_pod(plan, bare_image, security_context=locked_down)
    assert verdict.kind is VerdictKind.DONE, (verdict, bench.cluster.logs(pod.metadata.name, HELPER))
    local = elsewhere(replace(plan, transform=TransformPlan(cmd=("cp", "-r", "/pfs/in", "/pfs/out/"))))
    bench.run_here(local)
    assert bench.contents(plan) == bench.contents(local)


def test_failures_are_recorded_and_the_other_datums_done(bench, python_image):
    script = "cp $in /pfs/out/; chmod 600 /pfs/out/*; case $in in *.bin) echo cannot do $in; exit 7;; esac"
    plan = bench.plan(["a.txt", "big.bin", "naïve name *.txt"], cmd=("sh", "-c", script), datum_tries=2)
    verdict, pod = bench.run_in_pod(plan, python_image)
    assert verdict.kind is VerdictKind.DATUMS_FAILED
    assert (verdict.base_exit_code, verdict.helper_exit_code) == (121, 121)
    local = elsewhere(plan)
    bench.run_here(local)
    assert bench.contents(plan) == bench.contents(local)
    failed = bench.results(plan)[1]
    assert (failed.state, failed.tries, failed.exit_code) == ("failed", 2, 7)
    assert failed.log_tail == "cannot do /pfs/in/big.bin\n"
    report = json.loads(next(s for s in pod.status.container_statuses if s.name == HELPER).state.terminated.message)
    assert (report["success"], report["failed"]) == (2, 1)


def test_a_link_to_anything_but_an_input_is_the_datums_failure(bench, python_image):
    plan = bench.plan(["a.txt"], cmd=("ln", "-s", "/proc/self/environ", "/pfs/out/stolen"), datum_tries=1)
    verdict, _pod = bench.run_in_pod(plan, python_image)
    assert verdict.kind is VerdictKind.DATUMS_FAILED
    assert "/pfs/out/stolen is a link to /proc/self/environ" in bench.results(plan)[0].reason


def test_the_users_container_has_neither_credentials_nor_a_token(bench, python_image):
    script = "env > /pfs/out/env; ls -a /pfs /pfs/.pfs > /pfs/out/ls; ls /var/run/secrets 2>&1 > /pfs/out/secrets; true"
    plan = bench.plan(["a.txt"], cmd=("sh", "-c", script))
    verdict, _pod = bench.run_in_pod(plan, python_image)
    assert verdict.kind is VerdictKind.DONE
    ((_datum, _state, _tries, _code, outputs),) = bench.contents(plan)
    files = {path: body.decode() for path, _executable, body in outputs}
    assert "AWS" not in files["env"]
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in "".join(files.values())
    assert "serviceaccount" not in files["secrets"]


def test_a_second_pod_skips_what_the_first_recorded(bench, python_image):
    plan = bench.plan(["a.txt", "dir"], cmd=("true",))
    bench.run_in_pod(plan, python_image)
    verdict, _pod = bench.run_in_pod(plan, python_image)
    assert verdict.message == "0 datums done, 2 were done before"


def test_a_timeout_in_a_pod(bench, python_image):
    script = "trap 'echo told' TERM; sleep 100 & wait; sleep 100"
    plan = bench.plan(["a.txt"], cmd=("sh", "-c", script), datum_timeout_seconds=1.0, datum_tries=1)
    verdict, _pod = bench.run_in_pod(plan, python_image)
    assert verdict.kind is VerdictKind.DATUMS_FAILED
    result = bench.results(plan)[0]
    assert "longer than datum_timeout (1 s)" in result.reason
