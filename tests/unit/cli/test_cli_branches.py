"""Triggers and provenance of branches on the command line."""

from pathlib import Path


def branch(pachy, name: str) -> dict:
    return pachy("inspect", "branch", name, "--json").documents[0]


def put(pachy, address: str) -> None:
    pachy("put", "file", address, "-f", "-", stdin=b"1")


def test_a_branch_follows_another_one(pachy, images: Path) -> None:
    pachy("create", "branch", "images@tested", "-t", "staging", "--trigger-commits", "2", "--trigger-size", "1K")
    assert branch(pachy, "images@tested")["trigger"]["commits"] == 2
    put(pachy, "images@staging:/x")
    assert branch(pachy, "images@tested")["head"] is None
    put(pachy, "images@staging:/y")
    assert branch(pachy, "images@tested")["head"] == branch(pachy, "images@staging")["head"]
    assert "staging on 1K more or 2 commits" in pachy("inspect", "branch", "images@tested").out
    assert "staging on 1K more or 2 commits" in pachy("list", "branch", "images").out
    pachy("create", "branch", "images@tested", "--no-trigger")
    assert branch(pachy, "images@tested")["trigger"] is None


def test_every_trigger_option_is_read(pachy, images: Path) -> None:
    options = ["--trigger-all", "--trigger-rate-limit", "@hourly", "--trigger-commits", "3", "--trigger-size", "5M"]
    pachy("create", "branch", "images@both", "--trigger", "master", *options)
    assert branch(pachy, "images@both")["trigger"] == {
        "branch": "master", "all": True, "size": "5M", "commits": 3, "rate_limit": "@hourly", "cron": None,
    }  # fmt: skip
    pachy("create", "branch", "images@nightly", "--trigger", "master", "--trigger-cron", "0 3 * * *")
    assert branch(pachy, "images@nightly")["trigger"]["cron"] == "0 3 * * *"
    assert pachy("tick", "trigger").lines[0].split()[:2] == ["REPO", "BRANCH"]
    assert pachy("tick", "trigger", "--json").out == ""


def test_triggers_that_cannot_be_are_refused(pachy, images: Path) -> None:
    create = ("create", "branch", "images@b")
    for options, code, told in [
        (["--trigger-commits", "3"], 2, "--trigger-commits needs --trigger"),
        (["--trigger", "master", "--no-trigger"], 2, "takes a trigger away"),
        (["--trigger", "master", "--trigger-commits", "0"], 2, "0"),
        (["--trigger", "master", "--trigger-size", "much"], 1, "'much' is not a size"),
        (["--trigger", "b", "--trigger-all"], 1, "circle"),
        (["--trigger", "master", "--trigger-cron", "hourly"], 1, "not a schedule"),
        (["--trigger", "master", "--trigger-cron", "@daily", "--trigger-all"], 1, "takes no other condition"),
    ]:
        refused = pachy(*create, *options, fails=True)
        assert (refused.code, told in refused.err) == (code, True), refused


def test_provenance_is_shown_to_its_end_and_taken_away(pachy, images: Path) -> None:
    for repo, upstream in (("edges", "images@master"), ("montage", "edges@master")):
        pachy("create", "repo", repo)
        pachy("create", "branch", f"{repo}@master", "-p", upstream)
    document = branch(pachy, "montage@master")
    assert (document["provenance"], document["transitive_provenance"]) == (
        ["edges@master"],
        ["edges@master", "images@master"],
    )
    assert "edges@master, montage@master" in pachy("inspect", "branch", "images@master").out
    pachy("create", "branch", "edges@master", "--no-provenance")
    assert branch(pachy, "montage@master")["transitive_provenance"] == ["edges@master"]
    refused = pachy("create", "branch", "edges@master", "--no-provenance", "-p", "images@master", fails=True)
    assert refused.code == 2
