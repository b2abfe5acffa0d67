"""Pipelines on the command line; Airflow and image tools are played by scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SPEC: dict[str, Any] = {
    "pipeline": {"name": "edges"},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
    "transform": {"image": "registry.example.com/team/edges:1", "cmd": ["edges"]},
}
DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "edges.json"
    path.write_text(json.dumps(SPEC))
    return path


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a shell script of a name on an otherwise empty PATH; returns the file that it notes its words in."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, body: str = "") -> Path:
        script = folder / name
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {folder}/{name}.said\n{body}\n')
        script.chmod(0o755)
        return folder / f"{name}.said"

    return make


def test_create_list_inspect_and_delete(pachy, spec):
    pachy("create", "repo", "images")
    assert pachy("create", "pipeline", "-f", str(spec)).out == "edges version 1\n"
    assert pachy("list", "pipeline").rows[0][:5] == ["edges", "1", "running", "-", "edges@master"]
    (found,) = pachy("list", "pipeline", "--json").documents
    assert (found["name"], found["version"], found["managed"]) == ("edges", 1, True)
    shown = pachy("inspect", "pipeline", "edges").out
    assert "with pachy create pipeline" in shown
    assert '"cmd": [' in shown
    pachy("delete", "pipeline", "edges")
    failed = pachy("inspect", "pipeline", "edges", fails=True)
    assert failed.code == 1
    assert "there is no pipeline 'edges'" in failed.err


def test_pipelines_of_a_folder_are_made_after_those_that_they_read(pachy, tmp_path):
    folder = tmp_path / "specs"
    folder.mkdir()
    for name, repo in (("a", "b"), ("b", "c"), ("c", "images")):
        made = {**SPEC, "pipeline": {"name": name}, "input": {"pfs": {"repo": repo, "glob": "/"}}}
        (folder / f"{name}.json").write_text(json.dumps(made))
    pachy("create", "repo", "images")
    for verb in ("create", "update"):
        assert pachy(verb, "pipeline", "-f", str(folder)).lines == [f"{name} version 1" for name in "cba"]
    (folder / "d.json").write_text((folder / "a.json").read_text())
    twice = pachy("update", "pipeline", "-f", str(folder), fails=True).err
    assert f"{folder}/d.json: pipeline 'a' is defined twice, also at {folder}/a.json" in twice


def test_delete_keeps_the_repo_when_it_is_asked_to(pachy, spec):
    pachy("create", "repo", "images")
    pachy("create", "pipeline", "-f", str(spec))
    pachy("delete", "pipeline", "edges", "--keep-repo")
    assert "edges" in [one["name"] for one in pachy("list", "repo", "--json").documents]
    assert pachy("put", "file", "edges@master:/mine", "-f", "-", stdin=b"1").code == 0
    taken = pachy("create", "pipeline", "-f", str(spec), fails=True)
    assert "writes the repo 'edges', which exists already" in taken.err


def test_updates_are_versions(pachy, spec):
    pachy("create", "repo", "images")
    pachy("create", "pipeline", "-f", str(spec))
    assert "pachy update pipeline" in pachy("create", "pipeline", "-f", str(spec), fails=True).err
    spec.write_text(json.dumps({**SPEC, "description": "better"}))
    assert pachy("update", "pipeline", "-f", str(spec)).out == "edges version 2\n"
    assert pachy("update", "pipeline", "-f", str(spec), "--reprocess").out == "edges version 2\n"
    versions = pachy("list", "pipeline", "--history", "edges", "--json").documents
    assert [one["version"] for one in versions] == [2, 1]
    before = pachy("inspect", "pipeline", "edges", "--version", "1", "--json").documents[0]
    assert "description" not in before["spec"]
    assert "no version 9" in pachy("inspect", "pipeline", "edges", "--version", "9", fails=True).err


def test_stop_and_start(pachy, spec):
    pachy("create", "repo", "images")
    pachy("create", "pipeline", "-f", str(spec))
    pachy("stop", "pipeline", "edges", "--reason", "too dear")
    assert pachy("inspect", "pipeline", "edges", "--json").documents[0]["state"] == "stopped"
    assert "stopped (too dear)" in pachy("inspect", "pipeline", "edges").out
    pachy("start", "pipeline", "edges")
    assert pachy("inspect", "pipeline", "edges", "--json").documents[0]["state"] == "running"


def test_a_missing_input_and_a_file_without_pipelines_say_so(pachy, spec, tmp_path):
    assert "reads images, which does not exist" in pachy("create", "pipeline", "-f", str(spec), fails=True).err
    assert pachy("create", "pipeline", "-f", str(tmp_path / "nope.json"), fails=True).code == 1


def test_run_asks_airflow(pachy, spec, tool):
    pachy("create", "repo", "images")
    pachy("create", "pipeline", "-f", str(spec))
    for text in ("1", "2"):
        assert pachy("put", "file", "images@master:/a", "-f", "-", stdin=text.encode()).code == 0
    missing = pachy("run", "pipeline", "edges", fails=True)
    assert missing.code == 1
    assert "no `airflow` command" in missing.err
    said = tool("airflow")
    assert pachy("run", "pipeline", "edges").out == "Started a run of DAG edges.\n"
    assert said.read_text() == "dags trigger edges --output json --conf {}\n"
    ran = pachy("run", "pipeline", "edges", "images@master^", "--dag", "mine", "--json").documents[0]
    first = pachy("inspect", "commit", "images@master^", "--json").documents[0]["id"]
    assert (ran["dag_id"], ran["commits"]) == ("mine", {"images@master": first})
    assert json.loads(said.read_text().splitlines()[1].partition("--conf ")[2]) == {"commits": {"images@master": first}}


def test_run_says_what_airflow_said_and_which_commits_it_takes(pachy, spec, tool):
    pachy("create", "repo", "images")
    pachy("create", "repo", "other")
    pachy("create", "pipeline", "-f", str(spec))
    pachy("put", "file", "other@master:/a", "-f", "-", stdin=b"1")
    tool("airflow", "echo 'DagNotFound: no such DAG' >&2; exit 1")
    assert (
        "airflow did not start DAG 'edges': DagNotFound: no such DAG"
        in pachy("run", "pipeline", "edges", fails=True).err
    )
    failed = pachy("run", "pipeline", "edges", "other@master", fails=True)
    assert "does not read other@master; its inputs are images@master" in failed.err


IMAGE_ID = "ab" * 32
# What podman and buildah say while they push: digests of other things than the image.
PROGRESS = f"echo 'Copying blob sha256:{'1' * 64}' >&2; echo 'Copying config sha256:{'2' * 64}' >&2"


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        (
            "docker",
            f"[ $1 = image ] && echo sha256:{IMAGE_ID}; [ $1 = push ] && echo 'abc: digest: {DIGEST} size: 527'; true",
            ["tag registry.example.com/team/edges:1 {tag}", "push {tag}"],
        ),
        (
            "podman",
            f"[ $1 = image ] && echo {IMAGE_ID}; [ $1 = push ] && {{ {PROGRESS}; echo {DIGEST} > $3; }}; true",
            ["registry.example.com/team/edges:1 docker://{tag}"],
        ),
        (
            "buildah",
            f"[ $1 = inspect ] && printf {IMAGE_ID}; [ $1 = push ] && {{ {PROGRESS}; echo {DIGEST} > $3; }}; true",
            ["registry.example.com/team/edges:1 docker://{tag}"],
        ),
    ],
)
def test_pushed_images_are_pinned(pachy, spec, tool, name, body, words):
    said = tool(name, body)
    pachy("create", "repo", "images")
    ran = pachy("create", "pipeline", "-f", str(spec), "--push-images", "--registry", "localhost:5000/mine")
    image = pachy("inspect", "pipeline", "edges", "--json").documents[0]["spec"]["transform"]["image"]
    assert image == f"localhost:5000/mine/edges@{DIGEST}"
    assert f"edges: registry.example.com/team/edges:1 is {image}" in ran.err
    asked, *pushed = said.read_text().splitlines()
    assert asked.endswith(" registry.example.com/team/edges:1")
    for line, expected in zip(pushed, words, strict=True):
        assert line.endswith(expected.format(tag=f"localhost:5000/mine/edges:edges-{IMAGE_ID[:12]}"))


def test_docker_that_does_not_say_the_digest_is_asked_for_that_of_the_registry(pachy, spec, tool):
    other = "sha256:" + "f" * 64
    known = f'["elsewhere.example.com/edges@{other}","registry.example.com/team/edges@{DIGEST}","x@{other}"]'
    tool("docker", f"case $4 in *Id*) echo sha256:{IMAGE_ID};; *Digests*) echo '{known}';; esac")
    pachy("create", "repo", "images")
    pachy("create", "pipeline", "-f", str(spec), "--push-images")
    image = pachy("inspect", "pipeline", "edges", "--json").documents[0]["spec"]["transform"]["image"]
    assert image == f"registry.example.com/team/edges@{DIGEST}"


def test_the_program_that_has_the_image_pushes_it(pachy, spec, tool):
    docker = tool("docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    pachy("create", "repo", "images")
    create = ("create", "pipeline", "-f", str(spec), "--push-images")
    nowhere = pachy(*create, fails=True).err
    assert "there is no image 'registry.example.com/team/edges:1' on this machine" in nowhere
    assert "(docker: Cannot connect to the Docker daemon)" in nowhere
    tool("buildah", f"[ $1 = inspect ] && printf {IMAGE_ID}; [ $1 = push ] && echo {DIGEST} > $4; true")
    said = tool("podman", "echo 'Error: image not known' >&2; exit 125")
    assert pachy(*create, "--tls-verify=false").out == "edges version 1\n"
    assert {line.split()[0] for file in (docker, said) for line in file.read_text().splitlines()} == {"image"}


@pytest.mark.parametrize(
    ("name", "says", "remedy"),
    [
        ("docker", "denied: requested access to the resource is denied", "docker login registry.example.com"),
        ("docker", "http: server gave HTTP response to HTTPS client", "list registry.example.com as one of insecure-"),
        (
            "buildah",
            "http: server gave HTTP response to HTTPS client",
            "If the registry is meant to have no TLS: --tls",
        ),
        ("buildah", "x509: certificate signed by unknown authority", "/etc/containers/certs.d/registry.example.com/"),
        ("podman", "dial tcp: lookup registry.example.com: no such host", "registry.example.com: no such host"),
    ],
)
def test_a_push_that_fails_says_what_to_do(pachy, spec, tool, name, says, remedy):
    tool(name, f"[ $1 = push ] && {{ echo 'Error: {says}' >&2; exit 1; }}; echo {IMAGE_ID}")
    pachy("create", "repo", "images")
    failed = pachy("create", "pipeline", "-f", str(spec), "--push-images", fails=True).err
    assert f"{name} push registry.example.com/team/edges:edges-abababababab failed" in failed
    assert remedy in failed
    assert "there is no pipeline" in pachy("list", "pipeline", "--history", "edges", fails=True).err


def test_images_that_cannot_be_pushed(pachy, spec, tool):
    pachy("create", "repo", "images")
    create = ("create", "pipeline", "-f", str(spec), "--push-images")
    none = pachy(*create, fails=True)
    assert "needs docker or podman or buildah, and none is installed here" in none.err
    for image, problem in (
        (f"edges@{DIGEST}", "not a digest"),
        ("edges:1", "'edges:1' names no registry to push to; say which with --registry HOST/PATH"),
    ):
        spec.write_text(json.dumps({**SPEC, "transform": {"image": image, "cmd": ["x"]}}))
        assert problem in pachy(*create, fails=True).err
    assert "there is no pipeline" in pachy("list", "pipeline", "--history", "edges", fails=True).err


@pytest.fixture
def three_commits(pachy, spec):
    pachy("create", "repo", "images")
    pachy("create", "pipeline", "-f", str(spec))
    for text in ("1", "2", "3"):
        pachy("put", "file", "images@master:/a", "-f", "-", stdin=text.encode())
    return [one["id"] for one in reversed(pachy("list", "commit", "images@master", "--json").documents)]


def test_a_range_is_a_run_for_each_commit_in_order(pachy, three_commits, tool):
    said = tool("airflow")
    ran = pachy("run", "pipeline", "edges", "--from", "images@master.1", "--to", "images@master^", "--reprocess")
    assert ran.out.startswith("Started 2 runs of DAG edges, one for each commit")
    assert "puts the output back to the newest" in ran.out
    lines = said.read_text().splitlines()
    confs = [json.loads(line.partition("--conf ")[2]) for line in lines]
    chosen = [{"commits": {"images@master": one}, "reprocess": True} for one in three_commits[:2]]
    assert confs == [*chosen, {}]
    ids = [line.split("--run-id ")[1].split()[0] for line in lines]
    assert ids == sorted(ids)
    assert len(set(ids)) == 3


def test_a_range_can_be_looked_at_before(pachy, three_commits, tool):
    said = tool("airflow")
    shown = pachy("run", "pipeline", "edges", "--from", "2020-01-01", "--dry-run", "--json").documents
    assert [one["commits"]["images@master"] for one in shown] == three_commits
    assert not said.exists()
    assert "Would start a run" in pachy("run", "pipeline", "edges", "--dry-run").out
    assert "no commits" in pachy("run", "pipeline", "edges", "--to", "2020-01-01").out
    assert pachy("run", "pipeline", "edges", "images@master", "--from", "2020-01-01", fails=True).code == 2


def test_run_goes_through_airflows_api_where_it_is_named(pachy, three_commits, tool, monkeypatch):
    tool("airflow")
    monkeypatch.setenv("PACHY_AIRFLOW_URL", "http://127.0.0.1:9")
    assert "does not answer" in pachy("run", "pipeline", "edges", fails=True).err


def test_start_says_when_the_next_job_comes(pachy, spec, monkeypatch):
    pachy("create", "repo", "images")
    pachy("create", "pipeline", "-f", str(spec))
    pachy("stop", "pipeline", "edges")
    monkeypatch.delenv("PACHY_AIRFLOW_URL", raising=False)
    assert "pachy run pipeline edges" in pachy("start", "pipeline", "edges").out
    monkeypatch.setenv("PACHY_AIRFLOW_URL", "http://127.0.0.1:9")
    assert "no run could be started now: Airflow at" in pachy("start", "pipeline", "edges").out
    assert pachy("inspect", "pipeline", "edges", "--json").documents[0]["state"] == "running"


def test_validate_looks_at_pipelines_together(pachy, spec, tmp_path):
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "edges.json").write_text(json.dumps(SPEC))
    assert pachy("validate", "pipeline", "-f", str(folder)).code == 0
    reader = {**SPEC, "pipeline": {"name": "images"}, "input": {"pfs": {"repo": "edges", "glob": "/"}}}
    (folder / "images.json").write_text(json.dumps(reader))
    assert "read each other in a circle" in pachy("validate", "pipeline", "-f", str(folder), fails=True).out
    (folder / "images.json").write_text(json.dumps(SPEC))
    ran = pachy("validate", "pipeline", "-f", str(folder), "--json", fails=True)
    assert "pipeline 'edges' is defined twice" in ran.err
    assert len(ran.documents) == 2
