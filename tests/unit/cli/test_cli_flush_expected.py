"""`pachy flush commit -f`: what pipelines that have never run will make is waited for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, pachy: Any) -> Path:
    """Specs of a chain, and of pipelines that nothing of it starts."""
    folder = tmp_path / "pipelines"
    folder.mkdir()
    images, edges = ({"pfs": {"repo": repo, "glob": "/*"}} for repo in ("images", "edges"))
    read_only = {"pfs": {"repo": "images", "glob": "/", "trigger": False}}
    large = {"pfs": {"repo": "images", "branch": "large", "glob": "/", "trigger": {"branch": "master", "size": "1M"}}}
    for name, node, more in (
        ("edges", images, {"output_branch": "draft"}),
        ("montage", {"cross": [images, {"pfs": {**edges["pfs"], "branch": "draft"}}]}, {}),
        ("site", images, {"service": {"internal_port": 80}}),
        ("labelled", {"cross": [{"pfs": {"repo": "labels", "glob": "/"}}, read_only]}, {}),
        ("sometimes", large, {}),
    ):
        spec = {"pipeline": {"name": name}, "input": node, "transform": {"image": "i", "cmd": ["c"]}, **more}
        (folder / f"{name}.json").write_text(json.dumps(spec))
    for repo in ("images", "labels"):
        pachy("create", "repo", repo)
        pachy("put", "file", f"{repo}@master:/a", "-f", "-", stdin=b"1")
    return folder


def awaited(pachy: Any, *words: str) -> set[str]:
    """The branches for which a flush would go on waiting."""
    said = pachy("flush", "commit", *words, "--timeout", "0", fails=True).err
    missing = said.partition(" was on ")[2].removesuffix(" yet\n")
    assert missing, said
    return set(missing.split(", "))


def test_a_chain_that_has_never_run_is_waited_for_to_its_end(pachy, folder):
    commit = pachy("inspect", "commit", "images@master", "--json").documents[0]["id"]
    for address in ("images@master", f"images@{commit}"):
        assert awaited(pachy, address, "-f", str(folder)) == {"edges@draft", "montage@master"}
    assert awaited(pachy, "images@master", "-f", str(folder), "-r", "images", "--expect", "x") == {"x@master"}
    assert awaited(pachy, "images@master", "-f", str(folder / "montage.json")) == {"montage@master"}
    pachy("create", "branch", "images@other", "--head", "images@master")
    assert awaited(pachy, "images@other", "-f", str(folder)) == {"edges@draft", "montage@master"}
    assert awaited(pachy, "labels@master", "-f", str(folder)) == {"labelled@master"}


def test_of_several_commits_what_is_made_of_all_of_them(pachy, folder):
    assert "No pipeline is known" in pachy("flush", "commit", "images@master", "labels@master", "-f", str(folder)).err


def test_pipelines_that_are_known_lead_on_to_others_and_those_that_are_stopped_do_not(pachy, folder):
    pachy("create", "pipeline", "-f", str(folder / "edges.json"))
    (folder / "edges.json").unlink()
    assert awaited(pachy, "images@master", "-f", str(folder)) == {"edges@draft", "montage@master"}
    pachy("create", "pipeline", "-f", str(folder / "montage.json"))
    pachy("stop", "pipeline", "montage")
    assert awaited(pachy, "images@master", "-f", str(folder)) == {"edges@draft"}


def test_stages_of_a_dag_file(pachy, folder, tmp_path):
    dag = tmp_path / "dag.py"
    dag.write_text(
        "from airflow.sdk import DAG\n"
        "from airflow_pachy.operators import DatumMapOperator\n"
        "with DAG('d', schedule=None):\n"
        "    for name, output in (('a', 'made@master'), ('b', 'made@{{ var.value.stage }}')):\n"
        "        DatumMapOperator(name, input={'pfs': {'repo': 'images', 'glob': '/*'}}, output=output, cmds=['c'])\n"
    )
    assert awaited(pachy, "images@master", "-f", str(dag)) == {"made@master"}
    missing = pachy("flush", "commit", "images@master", "-f", str(tmp_path / "no.py"), fails=True)
    assert "no.py" in missing.err
