"""From a build to a pod: what `--push-images` has pinned is what the cluster pulls, runs, and provenance names."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.registries import PUSHER, ImageStore, a_registry, needs_a_registry

from airflow_pachy.cli import main
from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, plan_job
from airflow_pachy.pipelines.lifecycle import inspect_pipeline
from airflow_pachy.pipelines.reading import operator_arguments

pytestmark = [pytest.mark.slow, pytest.mark.registry, needs_a_registry, pytest.mark.timeout(300)]

SPEC = """
pipeline: {name: echo}
input: {pfs: {repo: words, glob: /a}}
transform:
  image: "shell:1"
  image_pull_secrets: [pusher]
  cmd: [sh, -ec, 'read -r word <$words; echo "$word from $WHERE" >/pfs/out/a']
"""


SMALL = {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "96Mi"}}


@pytest.fixture
def shell() -> Path:
    """A shell that runs in an empty image."""
    found = Path("/bin/busybox")
    if not found.exists() or subprocess.run(["ldd", found], check=False, capture_output=True).returncode == 0:
        pytest.skip("no static shell for an image: apt-get install busybox-static")
    return found


@pytest.fixture
def pulls_from_here(cluster) -> None:
    """Kubernetes takes a registry on its own loopback to be one of plain HTTP."""
    here = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if any(node.status.node_info.boot_id != here for node in cluster.core.list_node().items):
        pytest.skip("the cluster's nodes are other machines, and do not reach a registry on this one's loopback")


def test_pods_run_the_digest_that_was_pushed(pulls_from_here, shell, cluster, stage, place, tmp_path, monkeypatch):
    images = ImageStore.make(tmp_path)
    (context := tmp_path / "context").mkdir()
    shutil.copy(shell, context / "sh")
    images.build("shell:1", context, "FROM scratch\nCOPY sh /bin/sh\nENV WHERE=registry\n")
    (tmp_path / "echo.yaml").write_text(SPEC)
    where = {
        "PACHY_STORAGE": place["storage"],
        "PACHY_METADATA": place["metadata"],
        "PACHY_S3_ENDPOINT": os.environ["PACHY_TEST_S3_ENDPOINT"],
    }
    with a_registry(tmp_path / "registry", users=PUSHER, credentials="pusher:secret") as registry:
        images.log_in(registry.host, "pusher:secret")
        login = {"metadata": {"name": "pusher"}, "type": "kubernetes.io/dockerconfigjson"}
        known = {".dockerconfigjson": images.auth_file.read_text()}
        cluster.core.create_namespaced_secret(cluster.namespace, {**login, "stringData": known})
        with monkeypatch.context() as context:
            for name, value in {**images.environment, **where}.items():
                context.setenv(name, value)
            push = ("--push-images", "--registry", registry.host, "--tls-verify=false")
            assert main(("create", "pipeline", "-f", str(tmp_path / "echo.yaml"), *push)) == 0
        created = inspect_pipeline(stage.pfs, "echo")
        pinned = created.spec["transform"]["image"]
        assert pinned == f"{registry.host}/shell@{registry.digest('shell', registry.tags('shell')[0])}"
        spec = PipelineSpec.from_dict(created.spec)
        plan = plan_job(stage.pfs, JobRequest(spec, "echo", "run", "stage", max_sets=1))
        task = {
            "image": pinned,
            "container_resources": SMALL,
            "pod": {**operator_arguments(spec)["pod"], "on_finish_action": "keep_pod"},
            "deferrable": False,
        }
        ended = stage.run_task(plan.sets[0], task, 1)
        assert ended.error is None, ended.text
    assert assemble_job(stage.pfs, plan.job_id).images == (pinned,)
    assert stage.pfs.get_file("echo@master:/a") == b"alpha from registry\n"
