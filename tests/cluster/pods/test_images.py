"""Users' images as they are: with and without a shell, any uid, a read-only root, odd arguments, secrets."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import models as k8s

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ODD = ("two words", "it's", 'say "hi"', "$HOME `id` $(id) \\n", "two\nlines\n", "", "*", "-n", "tab\there", "ünïcode ✓")
SHOW = (
    "import os, sys\n"
    "with open('/pfs/out/' + os.path.basename(os.environ['words']), 'w') as file:\n"
    "    file.write(repr((sys.argv[1:], sys.stdin.read(), os.environ['GREETING'], os.getcwd())))\n"
)
WHO = (
    "id -u >/pfs/out/${words##*/}; id -g >>/pfs/out/${words##*/}; "
    "mkdir /pfs/out/copy; cp $words /pfs/out/copy/; rm $words"
)
SECRETS = 'printf "%s|%s|" "$my_token" "$TOKEN" >/pfs/out/${words##*/}; cat /certs/key >>/pfs/out/${words##*/}'
LOCKED = k8s.V1SecurityContext(read_only_root_filesystem=True)


@pytest.fixture(scope="module", autouse=True)
def stories(scenarios, stage, cluster, python_image):
    from airflow.providers.cncf.kubernetes.secret import Secret

    keys = {"metadata": {"name": "app"}, "stringData": {"token": "t0ken", "key": "k3y"}}
    cluster.core.create_namespaced_secret(cluster.namespace, keys)

    def tell(name: str, *job: Any, **details: Any) -> None:
        planned = stage.job(*job, **details)
        scenarios.start(name, lambda: SimpleNamespace(job=planned, ended=planned.run()))

    tell(
        "arguments",
        image=python_image,
        transform={
            "cmd": ["python3", "-c", SHOW, *ODD],
            "stdin": ["one 'line'", 'two "lines"', "$three"],
            "env": {"GREETING": 'it\'s "me"\nagain'},
            "working_dir": "/usr/lib",
        },
    )
    # The static program of this image: write PATH TEXT.
    tell("bare", image="distroless-test:local", transform={"cmd": ["/app", "write", "/pfs/out/same", "it's me"]})
    tell("root", WHO, task={"user": "0"})
    tell("uid", WHO, task={"user": "1234:4321"})
    tell("locked", WHO, task={"user": "1234", "pod": {"container_security_context": LOCKED}})
    given = [
        {"name": "app", "env_var": "my_token", "key": "token"},
        Secret("env", "TOKEN", "app", "token"),
        {"name": "app", "mount_path": "/certs"},
    ]
    pull = {"image_pull_secrets": ["app"], "on_finish_action": "keep_pod"}
    tell("secrets", SECRETS, task={"secrets": given, "pod": pull})


def outputs(scenarios: Any, name: str) -> dict[str, bytes]:
    story = scenarios.end_of(name)
    assert story.ended.error is None, story.ended.text
    return story.job.assemble()


def test_arguments_stdin_environment_and_directory_arrive_as_they_were_written(scenarios):
    found = outputs(scenarios, "arguments")
    assert set(found) == {"/a", "/b", "/c", "/d"}
    expected = (list(ODD), "one 'line'\ntwo \"lines\"\n$three\n", 'it\'s "me"\nagain', "/usr/lib")
    assert {eval(body.decode()) == expected for body in found.values()} == {True}, found["/a"]


def test_an_image_without_a_shell(scenarios):
    story = scenarios.end_of("bare")
    # Four datums write the same path: each has succeeded, and what they wrote is told apart from a failure.
    assert story.ended.error is None, story.ended.text
    assert {entry.path for result in story.job.results() for entry in result.outputs} == {"same"}


@pytest.mark.parametrize(("name", "who"), [("root", b"0\n"), ("uid", b"1234\n4321\n"), ("locked", b"1234\n")])
def test_any_uid_also_on_a_read_only_root(scenarios, name, who):
    found = outputs(scenarios, name)
    assert found["/a"].startswith(who)
    assert found["/copy/a"] == b"alpha\n"
    assert found["/copy/d"] == b"delta\n"


def test_secrets_as_variables_and_as_files(scenarios):
    assert outputs(scenarios, "secrets")["/a"] == b"t0ken|t0ken|k3y"
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in scenarios.end_of("secrets").ended.text


def test_secrets_of_registries_are_the_pods(scenarios):
    story = scenarios.end_of("secrets")
    (pod,) = story.job.pods()
    assert [one.name for one in pod.spec.image_pull_secrets] == ["app"]
