"""Tags, labels, flushing and forgetting on the command line."""

from pathlib import Path

import pytest


def commit(pachy, address: str) -> dict:
    return pachy("inspect", "commit", address, "--json").documents[0]


def put(pachy, address: str = "images@master:/x", data: bytes = b"1") -> str:
    pachy("put", "file", address, "-f", "-", stdin=data)
    return commit(pachy, address.partition(":")[0])["id"]


def test_a_tag_names_a_commit_for_good(pachy, images: Path) -> None:
    first = commit(pachy, "images@master")["id"]
    pachy("create", "tag", "images@master", "v1.2")
    put(pachy)
    assert commit(pachy, "images@v1.2")["id"] == first
    assert pachy("list", "tag", "images").rows[0][:2] == ["v1.2", first]
    assert "v1.2" in pachy("list", "commit", "images@master").rows[1]
    assert "v1.2" in pachy("inspect", "commit", "images@master^").out
    assert "does not move" in pachy("create", "tag", "images@master", "v1.2", fails=True).err
    assert "pachy delete tag images@v1.2" in pachy("delete", "commit", "images@v1.2", fails=True).err
    pachy("delete", "tag", "images@v1.2")
    assert pachy("list", "tag", "images", "--json").out == ""
    assert "no tag 'v1.2'" in pachy("delete", "tag", "images@v1.2", fails=True).err


def test_labels_are_set_shown_and_looked_for(pachy, images: Path) -> None:
    pachy("start", "commit", "images@master", "-l", "source=camera=2", "--label", "by=hand")
    pachy("finish", "commit", "images@master", "-l", "by=robot")
    assert commit(pachy, "images@master")["labels"] == {"source": "camera=2", "by": "robot"}
    pachy("update", "commit", "images@master", "-d", "checked", "--unlabel", "by", "-l", "ok=yes")
    shown = pachy("inspect", "commit", "images@master").out
    assert "ok=yes, source=camera=2" in shown
    assert "checked" in shown
    assert len(pachy("list", "commit", "images@master", "-l", "ok=yes", "--json").documents) == 1
    assert pachy("list", "commit", "images@master", "-l", "ok=no", "--json").documents == []
    assert pachy("update", "commit", "images@master", fails=True).code == 2
    assert "not KEY=VALUE" in pachy("list", "commit", "images@master", "-l", "ok", fails=True).err


def test_a_put_may_label_its_commit(pachy, images: Path) -> None:
    pachy("put", "file", "images@master:/x", "-f", "-", "--label", "source=stdin", stdin=b"1")
    assert commit(pachy, "images@master")["labels"] == {"source": "stdin"}


def test_repos_have_labels(pachy) -> None:
    pachy("create", "repo", "images", "-l", "team=vision")
    pachy("create", "repo", "audio")
    assert [row[0] for row in pachy("list", "repo", "--label", "team=vision").rows] == ["images"]
    pachy("update", "repo", "images", "-l", "tier=1", "--unlabel", "team")
    assert "tier=1" in pachy("inspect", "repo", "images").out
    assert pachy("update", "repo", "images", fails=True).code == 2


def test_a_commit_may_say_what_it_is_made_from(pachy, images: Path) -> None:
    first = commit(pachy, "images@master")["id"]
    put(pachy)
    pachy("create", "repo", "edges")
    pachy("start", "commit", "edges@master", "-p", "images@master^")
    pachy("finish", "commit", "edges@master")
    assert commit(pachy, "edges@master")["provenance"] == [f"images@{first}"]


def test_a_commit_may_be_closed_with_an_error(pachy, images: Path) -> None:
    started = pachy("start", "commit", "images@master").out.strip()
    pachy("finish", "commit", "images@master", "--error", "bad sensor")
    assert commit(pachy, f"images@{started}")["state"] == "error"
    assert commit(pachy, "images@master")["id"] != started


def test_flushing_shows_what_was_made(pachy, images: Path) -> None:
    nothing = pachy("flush", "commit", "images@master")
    assert nothing.rows == []
    assert "No pipeline is known to read these commits" in nothing.err
    expected = pachy("flush", "commit", "images@master", "--expect", "edges@draft", "--timeout", "0", fails=True)
    assert "edges@draft" in expected.err
    for repo in ("edges", "other"):
        pachy("create", "repo", repo)
        pachy("create", "branch", f"{repo}@master", "-p", "images@master")
    late = pachy("flush", "commit", "images@master", "--timeout", "0", fails=True)
    assert (late.code, "edges@master, other@master" in late.err) == (1, True)
    made = put(pachy, "edges@master:/e")
    flushed = pachy(
        "flush", "commit", "images@master", "images@master", "--to-repo", "edges", "--timeout", "0", "--json"
    )
    assert [document["id"] for document in flushed.documents] == [made]
    assert pachy("flush", "commit", fails=True).code == 2
    assert "nowhere" in pachy("flush", "commit", "images@master", "-r", "nowhere", fails=True).err


def test_forgotten_commits_tell_so(pachy, images: Path) -> None:
    first = commit(pachy, "images@master")["id"]
    put(pachy)
    pachy("forget", "commit", f"images@{first}")
    assert "Forgotten" in pachy("inspect", "commit", f"images@{first}").out
    assert "was forgotten on" in pachy("list", "file", f"images@{first}", fails=True).err
    assert "is the head of images@master" in pachy("forget", "commit", "images@master", fails=True).err


@pytest.mark.parametrize("verb", ["drop", "squash"])
def test_what_was_made_from_a_commit_goes_along_if_asked(pachy, images: Path, verb: str) -> None:
    pachy("create", "repo", "edges")
    pachy("create", "branch", "edges@master", "-p", "images@master")
    put(pachy, "edges@master:/e")
    if verb == "squash":
        put(pachy)
        put(pachy, "edges@master:/e", b"2")
    target = "images@master" if verb == "drop" else "images@master^"
    assert "recursive" in pachy(verb, "commit", target, fails=True).err
    pachy(verb, "commit", target, "--recursive")
    left = {"drop": 0, "squash": 1}[verb]
    assert [len(pachy("list", "commit", f"{repo}@master", "--json").documents) for repo in ("images", "edges")] == [
        left,
        left,
    ]


def test_lists_continue_behind_a_bare_id_in_both_directions(pachy, images: Path) -> None:
    ids = [commit(pachy, "images@master")["id"], put(pachy), put(pachy, data=b"2")]
    after = ("list", "commit", "images@master", "--json", "--after", ids[1])
    assert [document["id"] for document in pachy(*after).documents] == [ids[0]]
    assert [document["id"] for document in pachy(*after, "--reverse").documents] == [ids[2]]


def test_open_commits_can_be_subscribed_to(pachy, images: Path) -> None:
    started = pachy("start", "commit", "images@master").out.strip()
    shown = pachy("subscribe", "commit", "images@master", "--state", "open", "--limit", "2", "--json").documents
    assert [(document["id"] == started, document["state"]) for document in shown] == [
        (False, "finished"),
        (True, "open"),
    ]
