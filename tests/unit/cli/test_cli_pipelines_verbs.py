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


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("docker", f'[ "$1" = push ] && echo "latest: digest: {DIGEST} size: 527" || true'),
        ("buildah", f'[ "$1" = push ] && echo {DIGEST} > "$3" || true'),
    ],
)
def test_pushed_images_are_pinned(pachy, spec, tool, name, body):
    said = tool(name, body)
    pachy("create", "repo", "images")
    ran = pachy("create", "pipeline", "-f", str(spec), "--push-images", "--registry", "localhost:5000/mine")
    assert ran.code == 0, ran.err
    image = pachy("inspect", "pipeline", "edges", "--json").documents[0]["spec"]["transform"]["image"]
    assert image == f"localhost:5000/mine/edges@{DIGEST}"
    assert said.read_text().startswith("tag registry.example.com/team/edges:1 localhost:5000/mine/edges:edges-")


def test_images_that_cannot_be_pushed(pachy, spec, tool):
    pachy("create", "repo", "images")
    none = pachy("create", "pipeline", "-f", str(spec), "--push-images", fails=True)
    assert "needs docker or podman or buildah, and none is installed here" in none.err
    tool("docker", "echo 'denied: requested access' >&2; exit 1")
    assert "docker tag" in pachy("create", "pipeline", "-f", str(spec), "--push-images", fails=True).err
    spec.write_text(json.dumps({**SPEC, "transform": {"image": f"edges@{DIGEST}", "cmd": ["x"]}}))
    assert "not a digest" in pachy("create", "pipeline", "-f", str(spec), "--push-images", fails=True).err
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
