"""Repos, branches and commits."""

import re
from pathlib import Path


def test_a_new_repo_is_listed(pachy) -> None:
    assert pachy("create", "repo", "images", "-d", "photos").out == ""
    assert pachy("list", "repo").lines[0].split() == ["NAME", "CREATED", "SIZE", "(MASTER)", "DESCRIPTION"]
    assert pachy("list", "repo").rows == [["images", "less than a second ago", "0 B", "photos"]]


def test_no_repos_are_an_empty_table_and_no_json(pachy) -> None:
    assert pachy("list", "repo").lines == ["NAME  CREATED  SIZE (MASTER)  DESCRIPTION"]
    assert pachy("list", "repo", "--json").out == ""


def test_lists_are_paged(pachy) -> None:
    for name in ("a", "b", "c"):
        pachy("create", "repo", name)
    assert [d["name"] for d in pachy("list", "repo", "--json", "--limit", "2").documents] == ["a", "b"]
    assert [d["name"] for d in pachy("list", "repo", "--json", "--after", "b").documents] == ["c"]


def test_a_description_can_change_but_not_of_a_repo_that_is_not_there(pachy) -> None:
    pachy("create", "repo", "images")
    pachy("update", "repo", "images", "-d", "better")
    assert "Description:    better" in pachy("inspect", "repo", "images").lines
    assert "imags" in pachy("update", "repo", "imags", "-d", "x", fails=True).err


def test_inspect_repo(pachy, images: Path) -> None:
    document = pachy("inspect", "repo", "images", "--json").documents[0]
    assert (document["name"], document["size_bytes"], document["branches"]) == ("images", 3100, ["master"])
    assert re.match(
        r"Size of master: +3\.03 KiB", next(x for x in pachy("inspect", "repo", "images").lines if "Size" in x)
    )


def test_a_repo_that_others_derive_from_needs_force(pachy, images: Path) -> None:
    pachy("create", "repo", "edges")
    pachy("create", "branch", "edges@master", "-p", "images@master")
    refused = pachy("delete", "repo", "images", fails=True)
    assert "edges" in refused.err
    pachy("delete", "repo", "images", "--force")
    assert [d["name"] for d in pachy("list", "repo", "--json").documents] == ["edges"]


def test_rolling_back_is_pointing_a_branch_at_an_older_commit(pachy, images: Path) -> None:
    pachy("delete", "file", "images@master:/a.png")
    pachy("create", "branch", "images@master", "--head", "master^")
    assert [row[0] for row in pachy("list", "file", "images@master").rows] == ["/2024/", "/a.png"]


def test_branches(pachy, images: Path) -> None:
    pachy("create", "branch", "images@staging", "--head", "master")
    rows = {d["name"]: d for d in pachy("list", "branch", "images", "--json").documents}
    assert rows["staging"]["head"] == rows["master"]["head"]
    assert rows["master"]["head"] in pachy("inspect", "branch", "images@staging").out
    pachy("delete", "branch", "images@staging")
    assert [row[0] for row in pachy("list", "branch", "images").rows] == ["master"]


def test_moving_a_branch_keeps_its_provenance(pachy, images: Path) -> None:
    pachy("create", "repo", "edges")
    pachy("create", "branch", "edges@master", "-p", "images@master")
    pachy("put", "file", "edges@master:/x", "-f", "-", stdin=b"1")
    pachy("create", "branch", "edges@master", "--head", "master")
    assert pachy("inspect", "branch", "edges@master", "--json").documents[0]["provenance"] == ["images@master"]


def test_a_commit_stays_open_over_several_commands(pachy, images: Path) -> None:
    commit = pachy("start", "commit", "images@master", "-d", "labels").out.strip()
    assert re.fullmatch("[0-9a-f]{32}", commit)
    pachy("put", "file", "images@master:/x", "-f", "-", stdin=b"1")
    pachy("put", "file", "images@master:/y", "-f", "-", stdin=b"2")
    assert pachy("inspect", "commit", f"images@{commit}", "--json").documents[0]["state"] == "open"
    assert pachy("list", "branch", "images").rows[0][2] == commit
    pachy("finish", "commit", "images@master")
    assert pachy("list", "commit", "images@master", "--json").documents[0]["id"] == commit
    assert len(pachy("list", "commit", "images@master").rows) == 2
    assert [row[0] for row in pachy("list", "file", "images@master").rows] == ["/2024/", "/a.png", "/x", "/y"]


def test_a_commit_may_start_from_an_older_one(pachy, images: Path) -> None:
    pachy("put", "file", "images@master:/x", "-f", "-", stdin=b"1")
    pachy("start", "commit", "images@old", "--parent", "master^")
    pachy("finish", "commit", "images@old")
    assert [row[0] for row in pachy("list", "file", "images@old").rows] == ["/2024/", "/a.png"]


def test_list_commit_shows_the_newest_first_and_pages(pachy, images: Path) -> None:
    for number in range(3):
        pachy("put", "file", "images@master:/n", "-f", "-", stdin=str(number).encode())
    ids = [d["id"] for d in pachy("list", "commit", "images@master", "--json").documents]
    assert [row[2] for row in pachy("list", "commit", "images@master").rows] == ids
    assert [row[2] for row in pachy("list", "commit", "images@master", "--reverse").rows] == ids[::-1]
    assert [row[2] for row in pachy("list", "commit", "images@master", "--limit", "1", "--after", ids[0]).rows] == ids[
        1:2
    ]
    assert pachy("list", "commit", "images@master", "--origin", "auto").rows == []


def test_inspect_commit_in_words_and_json(pachy, images: Path) -> None:
    document = pachy("inspect", "commit", "images@master", "--json").documents[0]
    assert (document["state"], document["file_count"], document["size_bytes"]) == ("finished", 2, 3100)
    shown = pachy("inspect", "commit", "images@master").out
    assert f"images@{document['id']}" in shown
    assert "3.03 KiB" in shown


def test_waiting_for_a_finished_commit_returns_at_once(pachy, images: Path) -> None:
    assert pachy("wait", "commit", "images@master").rows[0][:2] == ["images", "master"]


def test_waiting_is_limited(pachy, images: Path) -> None:
    pachy("start", "commit", "images@master")
    refused = pachy("wait", "commit", "images@master", "--timeout", "0", fails=True)
    assert "still open" in refused.err


def test_subscribing_prints_what_is_there(pachy, images: Path) -> None:
    pachy("put", "file", "images@master:/n", "-f", "-", stdin=b"1")
    ids = [d["id"] for d in pachy("list", "commit", "images@master", "--json").documents][::-1]
    assert [d["id"] for d in pachy("subscribe", "commit", "images@master", "--limit", "2", "--json").documents] == ids
    after_first = pachy("subscribe", "commit", "images@master", "--start", ids[0], "--limit", "1", "--json")
    assert [d["id"] for d in after_first.documents] == ids[1:]
