"""Folders of specs: their order, and everything that is wrong with them at once, by file and line."""

from __future__ import annotations

import json

import pytest

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines.folders import branches_read, on_branch, read_folder, read_what_is_right, unknown_repos


def spec(name, *reads, **more):
    inputs = [{"pfs": {"repo": repo, "glob": "/*"}} for repo in reads or ("images",)]
    node = inputs[0] if len(inputs) == 1 else {"cross": inputs}
    return {"pipeline": {"name": name}, "input": node, "transform": {"cmd": ["x"]}, **more}


@pytest.fixture
def folder(tmp_path):
    def write(**files):
        for name, documents in files.items():
            listed = documents if isinstance(documents, list) else [documents]
            texts = [one if isinstance(one, str) else json.dumps(one) for one in listed]
            (tmp_path / f"{name}.json").write_text("\n".join(texts))
        return tmp_path

    return write


def problems(path):
    with pytest.raises(InvalidSpec) as raised:
        read_folder(path)
    return [line.replace(f"{path}/", "") for line in str(raised.value).splitlines()]


def test_pipelines_come_after_those_that_they_read(folder):
    path = folder(a=spec("montage", "images", "edges"), b=[spec("count"), spec("edges")], c=spec("end", "montage"))
    found = read_folder(path)
    names = [one.spec.name for one in found]
    assert names.index("edges") < names.index("montage") < names.index("end")
    assert {one.where for one in found} == {
        f"{path}/{where}" for where in ("a.json:1", "b.json:1", "b.json:2", "c.json:1")
    }


def test_all_that_is_wrong_is_told_at_once(folder):
    path = folder(
        a=[spec("edges"), spec("typo", transform={"cmdx": ["x"]})],
        b='{"pipeline": }',
        c=["", spec("edges", "labels")],
        d=spec("also", output_repo="edges"),
    )
    said = problems(path)
    assert any(line.startswith("a.json:2, pipeline 'typo': transform.cmdx: unknown field") for line in said)
    assert any(line.startswith("b.json:1:14: not JSON") for line in said)
    assert "c.json:2: pipeline 'edges' is defined twice, also at a.json:1; rename one of them" in said
    assert any(
        line.startswith("d.json:1: pipeline 'also' writes edges@master, as pipeline 'edges' at a.json:1")
        for line in said
    )


def test_a_circle_names_each_of_its_pipelines(folder):
    (said,) = problems(folder(a=spec("one", "three"), b=[spec("two", "one"), spec("three", "two")], c=spec("apart")))
    assert "read each other in a circle" in said
    for place in ("'one' (a.json:1)", "'two' (b.json:1)", "'three' (b.json:2)"):
        assert place in said
    assert "'one' (a.json:1) -> 'two' (b.json:1)" in said or "'two' (b.json:1) -> 'three' (b.json:2)" in said


def test_what_is_right_is_read_beside_what_is_wrong(folder):
    path = folder(
        a=[spec("edges"), spec("typo", transform={"cmdx": ["x"]}), spec("montage", "edges", "typo")],
        b='{"pipeline": }',
        c=[spec("twice"), spec("twice"), spec("wants", output_repo="edges2"), spec("too", output_repo="edges2")],
        d=[spec("one", "two"), spec("two", "one"), spec("three", "four"), spec("four", "three"), spec("own", "one")],
    )
    found, said = read_what_is_right(path)
    assert {one.spec.name for one in found} == {"edges", "montage", "own"}
    assert [one.spec.name for one in found].index("edges") < [one.spec.name for one in found].index("montage")
    assert len(said) == 6
    for text in ("cmdx", "b.json:1:14: not JSON", "'twice' is defined twice", "as pipeline 'wants'"):
        assert any(text in line for line in said)
    assert sum("in a circle" in line for line in said) == 2


def test_two_branches_of_a_repo_are_two_outputs(folder):
    path = folder(a=[spec("edges"), spec("trial", output_repo="edges", output_branch="trial")])
    assert len(read_folder(path)) == 2


def test_repos_that_nobody_makes(folder):
    cron = {
        "pipeline": {"name": "tick"},
        "input": {"cron": {"name": "t", "spec": "@daily"}},
        "transform": {"cmd": ["x"]},
    }
    path = folder(a=[spec("edges", "images", "lables"), spec("end", "edges"), cron])
    (said,) = unknown_repos(read_folder(path), {"images", "labels"})
    assert said.startswith(f"{path}/a.json:1: pipeline 'edges' reads the repo 'lables', which does not exist")
    assert "pachy create repo lables" in said


def test_an_environment_is_a_branch_of_the_same_repos(folder):
    tick = {"cron": {"name": "t", "spec": "@daily"}}
    path = folder(
        a=spec("edges"),
        b=spec("montage", "images", "edges", output_repo="art"),
        c=spec("fixed", "art", output_branch="trial"),
        d={
            "pipeline": {"name": "daily"},
            "input": {"cross": [tick, spec("x", "edges")["input"]]},
            "transform": {"cmd": ["x"]},
        },
    )
    found = {one.spec.name: one.spec for one in on_branch(read_folder(path), "staging")}
    assert sorted(found) == ["daily-staging", "edges-staging", "fixed-staging", "montage-staging"]
    assert {spec.output for spec in found.values()} == {
        "edges@staging",
        "art@staging",
        "fixed@trial",
        "daily@staging",
    }
    assert branches_read(found["montage-staging"]) == {"images@master", "edges@staging"}
    assert branches_read(found["fixed-staging"]) == {"art@staging"}
    assert branches_read(found["daily-staging"]) == {"daily-staging_t@master", "edges@staging"}
    assert [leaf.name for leaf in found["montage-staging"].input.leaves()] == ["images", "edges"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no pipeline specs"):
        read_folder(tmp_path / "nowhere")
