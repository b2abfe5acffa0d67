"""The life of commits: opening, finishing, listing, ancestry, waiting."""

from __future__ import annotations

import json
import threading

import pytest

from airflow_pachy.errors import (
    BranchMoved,
    CommitFinished,
    CommitNotFound,
    CommitOpen,
    InvalidAddress,
    InvalidArgument,
    PathConflict,
)
from airflow_pachy.pfs.mirror import mirror_key, read_mirror


def put_versions(pfs, count, path="/a"):
    for number in range(1, count + 1):
        pfs.put_file(f"images@master:{path}", str(number))
    return [info.id for info in pfs.list_commits("images@master", reverse=True)]


def test_an_open_commit_is_what_its_branch_means(images):
    commit = images.start_commit("images@master", description="first")
    info = images.inspect_commit("images@master")
    assert (info.id, info.state, info.parent, info.description, info.author) == (
        commit.id, "open", None, "first", "user:ada",
    )  # fmt: skip
    images.put_file("images@master:/a", b"1")
    assert images.get_file("images@master:/a") == b"1"
    assert images.get_file(f"{commit}:/a") == b"1"
    finished = images.finish_commit("images@master")
    assert (finished.id, finished.state, finished.size_bytes, finished.file_count) == (commit.id, "finished", 1, 1)
    assert images.inspect_branch("images@master").head == commit.id


def test_a_branch_has_one_open_commit(images):
    images.start_commit("images@master")
    with pytest.raises(CommitOpen, match="finish commit"):
        images.start_commit("images@master")


def test_finishing_again_changes_nothing(images):
    commit = images.start_commit("images@master")
    first = images.finish_commit(commit)
    assert images.finish_commit(commit) == first
    assert images.finish_commit("images@master") == first
    with pytest.raises(CommitFinished):
        images.finish_commit(commit, error="too late")


def test_a_finished_commit_cannot_change(images):
    images.put_file("images@master:/a", b"1")
    head = images.inspect_commit("images@master")
    with pytest.raises(CommitFinished, match="images@master"):
        images.put_file(f"{head}:/b", b"2")
    with pytest.raises(CommitFinished):
        images.delete_file(f"{head}:/a")


def test_an_empty_commit_inherits_and_the_flag_empties(images):
    images.put_file("images@master:/a", b"1")
    images.start_commit("images@master")
    images.finish_commit("images@master")
    assert images.get_file("images@master:/a") == b"1"
    images.start_commit("images@master")
    info = images.finish_commit("images@master", empty=True)
    assert (info.file_count, info.size_bytes) == (0, 0)
    assert list(images.list_file("images@master:/")) == []
    assert images.get_file("images@master^:/a") == b"1"


def test_the_last_description_counts(images):
    images.start_commit("images@master", description="one")
    assert images.finish_commit("images@master", description="two").description == "two"


def test_an_error_closes_a_commit_beside_its_branch(images):
    images.put_file("images@master:/a", b"1")
    head = images.inspect_branch("images@master").head
    bad = images.start_commit("images@master")
    images.put_file("images@master:/b", b"2")
    info = images.finish_commit(bad, error="sensor was broken")
    assert (info.state, info.error) == ("error", "sensor was broken")
    assert images.inspect_branch("images@master").head == head
    assert images.get_file(f"{bad}:/b") == b"2"
    images.put_file("images@master:/c", b"3")
    assert [file.path for file in images.list_file("images@master:/")] == ["/a", "/c"]


def test_a_block_is_one_commit(images):
    with images.commit("images@master", description="batch") as commit:
        for number in range(50):
            commit.put_file(f"/f{number}", str(number))
        commit.delete_file("/f0")
        commit.put_file("/f1", b"x", append=True)
        assert commit.get_file("/f1") == b"1x"
    info = images.inspect_commit("images@master")
    assert (info.file_count, info.description, info.parent) == (49, "batch", None)


def test_a_block_that_fails_leaves_no_commit(images):
    images.put_file("images@master:/a", b"1")
    before = images.inspect_branch("images@master")

    def work():
        with images.commit("images@master") as commit:
            commit.put_file("/b", b"2")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert images.inspect_branch("images@master") == before
    assert [file.path for file in images.list_file("images@master:/")] == ["/a"]


def test_puts_by_block_and_by_client_keep_their_order(images):
    with images.commit("images@master") as commit:
        commit.put_file("/a", b"1")
        images.put_file("images@master:/a", b"2")
        commit.put_file("/b", b"1")
        assert images.get_file("images@master:/b") == b"1"
    assert images.get_file("images@master:/a") == b"2"


def test_a_block_refuses_a_conflict_when_it_is_made(images):
    with images.commit("images@master") as commit:
        commit.put_file("/a", b"1")
        with pytest.raises(PathConflict, match="/a is a file"):
            commit.put_file("/a/b", b"2")
        commit.put_file("/d/e", b"3")
        with pytest.raises(PathConflict, match="/d/ is a directory"):
            commit.put_file("/d", b"4")
    assert [file.path for file in images.walk_file("images@master:/")] == ["/", "/a", "/d/", "/d/e"]


def test_ancestry(images):
    ids = put_versions(images, 5)
    for text, index in [("^", 3), ("~", 3), ("^^", 2), ("~2", 2), ("^4", 0), (".1", 0), (".5", 4), ("^0", 4), ("", 4)]:
        assert images.inspect_commit(f"images@master{text}").id == ids[index], text
    assert images.inspect_commit(f"images@{ids[2]}^").id == ids[1]
    assert images.get_file("images@master^2:/a") == b"3"
    for text in ("^5", ".6", "^600"):
        with pytest.raises(CommitNotFound, match="does not exist"):
            images.inspect_commit(f"images@master{text}")


def test_lists_are_newest_first_and_paged(images):
    ids = put_versions(images, 10)[::-1]

    def listed(**options):
        return [info.id for info in images.list_commits("images@master", **options)]

    assert listed() == ids
    assert listed(limit=3) == ids[:3]
    assert listed(after=f"images@{ids[5]}") == ids[6:]
    assert listed(after=f"images@{ids[5]}", limit=2) == ids[6:8]
    assert listed(reverse=True) == ids[::-1]
    assert listed(reverse=True, after=f"images@{ids[5]}", limit=2) == [ids[4], ids[3]]
    assert [info.id for info in images.list_commits(f"images@{ids[4]}")] == ids[4:]
    assert listed(origin="auto") == []
    assert listed(origin="user", limit=1) == ids[:1]
    assert listed(limit=0) == []
    with pytest.raises(InvalidArgument):
        listed(limit=-1)


def test_a_long_history_is_listed_whole(images):
    """Ancestors are read in pieces of 500, pages of 200."""
    for _ in range(3):
        put_versions(images, 1)
    with images.metadata.session() as session:
        from sqlalchemy import insert

        from airflow_pachy.metadata.models import Commit
        from airflow_pachy.pfs.heads import utc_now

        parent = images.inspect_branch("images@master").head
        rows = []
        for number in range(1300):
            commit_id = f"{number:032x}"
            rows.append(
                {"id": commit_id, "repo": "images", "branch": "long", "parent": parent, "state": "finished",
                 "size_bytes": 0, "file_count": 0, "started": utc_now(), "description": "", "origin": "user"}
            )  # fmt: skip
            parent = commit_id
        session.execute(insert(Commit), rows)
    images.create_branch("images@long", head=f"images@{1299:032x}")
    assert len(list(images.list_commits("images@long"))) == 1303
    assert images.inspect_commit("images@long^1200").id == f"{99:032x}"
    assert images.inspect_commit("images@long.4").id == f"{0:032x}"
    assert next(images.list_commits("images@long", reverse=True)).parent is None


def test_a_fork_starts_from_another_commit(images):
    ids = put_versions(images, 3)
    images.start_commit("images@fork", parent=f"images@{ids[0]}")
    images.put_file("images@fork:/b", b"x")
    info = images.finish_commit("images@fork")
    assert info.parent == f"images@{ids[0]}"
    assert images.get_file("images@fork:/a") == b"1"
    assert len(images.inspect_commit(f"images@{ids[0]}").children) == 2


def test_start_commit_with_a_parent_restarts_a_branch_there(images):
    ids = put_versions(images, 3)
    images.start_commit("images@master", parent=f"images@{ids[0]}")
    images.put_file("images@master:/b", b"x")
    info = images.finish_commit("images@master")
    assert info.parent == f"images@{ids[0]}"
    assert images.get_file("images@master:/a") == b"1"


def test_a_finish_carries_changes_over_when_the_branch_moved(images):
    """A job published on the branch while a user had a commit open."""
    put_versions(images, 1)
    seen = images.inspect_branch("images@master").head
    images.start_commit("images@master")
    images.put_file("images@master:/mine", b"m")
    output = images.start_output_commit("images@master")
    tree = images.tree(f"images@{seen}")
    with images.metadata.session() as session:
        images.publish_output_commit(session, output, tree, seen_head=seen)
    info = images.finish_commit("images@master")
    assert info.parent == f"images@{output}"
    assert [file.path for file in images.list_file("images@master:/")] == ["/a", "/mine"]


def test_a_finish_refuses_what_changed_on_both_sides(images):
    put_versions(images, 2)
    newest = images.inspect_branch("images@master").head
    images.create_branch("images@other", head="images@master^")
    images.start_commit("images@other")
    images.put_file("images@other:/a", b"mine")
    output = images.start_output_commit("images@other")
    with images.metadata.session() as session:
        seen = images.inspect_commit("images@master^").id
        images.publish_output_commit(session, output, images.tree(f"images@{newest}"), seen_head=seen)
    with pytest.raises(BranchMoved, match="/a"):
        images.finish_commit("images@other")


def test_every_finished_commit_has_its_copy_in_the_bucket(images):
    with images.commit("images@master", description="d") as commit:
        commit.put_file("/a", b"1")
    images.put_file("images@master:/b", b"2")
    for info in images.list_commits("images@master"):
        document = read_mirror(images.store, info.id)
        assert document["tree"] == info.tree
        assert document["ordinal"] == info.ordinal
        assert document["parent"] == (info.parent.split("@")[1] if info.parent else None)
        assert (document["repo"], document["branch"], document["state"]) == ("images", "master", "finished")
    assert json.loads(images.store.get(mirror_key(commit.id)))["description"] == "d"


def test_a_commit_may_be_named_in_many_ways(images):
    put_versions(images, 1)
    info = images.inspect_commit("images@master")
    for name in (info, str(info), info.id, images.inspect_branch("images@master")):
        assert images.inspect_commit(name).id == info.id
    assert images.get_file(f"{info.id}:/a") == b"1"
    with pytest.raises(InvalidAddress, match="names a path"):
        images.inspect_commit("images@master:/a")
    with pytest.raises(CommitNotFound, match="has no commit"):
        images.inspect_commit("images@" + "f" * 32)


def test_a_branch_without_commits_says_so(images):
    images.create_branch("images@empty")
    with pytest.raises(CommitNotFound, match="no commit yet"):
        images.inspect_commit("images@empty")
    assert list(images.list_commits("images@empty")) == []


def test_waiting_for_a_commit(images):
    commit = images.start_commit("images@master")
    with pytest.raises(TimeoutError, match="still open"):
        images.wait_commit(commit, timeout=0)
    waiter = threading.Timer(0.05, lambda: images.finish_commit(commit))
    waiter.start()
    assert images.wait_commit(commit, timeout=30).state == "finished"
    waiter.join()


def test_subscribing_gives_history_then_news(images):
    ids = put_versions(images, 3)
    stream = images.subscribe_commit("images@master", timeout=30)
    assert [next(stream).id for _ in range(3)] == ids
    images.put_file("images@master:/b", b"x")
    news = next(stream)
    assert news.parent == f"images@{ids[-1]}"
    images.create_branch("images@master", head=f"images@{ids[0]}")
    assert next(stream).id == ids[0]
    later = images.subscribe_commit("images@master", start=f"images@{ids[1]}", timeout=0)
    assert [info.id for info in later] == [ids[2], news.id, ids[0]]


def test_provenance_is_transitive(pfs):
    heads = {}
    for name, upstream in {"A": [], "B": ["A"], "E": [], "C": ["B", "E"], "D": ["C"]}.items():
        pfs.create_repo(name)
        pfs.create_branch(f"{name}@master", provenance=[f"{one}@master" for one in upstream])
        with pfs.commit(f"{name}@master") as commit:
            commit.put_file("/x", name)
        heads[name] = commit.id
    assert [info.repo for info in pfs.provenance("D@master")] == ["A", "B", "E", "C"]
    assert [info.repo for info in pfs.subvenance("A@master")] == ["B", "C", "D"]
    assert pfs.inspect_commit("C@master").provenance == (f"B@{heads['B']}", f"E@{heads['E']}")
    assert pfs.provenance("A@master") == []


def test_provenance_may_be_given(pfs):
    for name in ("A", "B"):
        pfs.create_repo(name)
    pfs.put_file("A@master:/x", b"1")
    pfs.put_file("A@master:/x", b"2")
    with pfs.commit("B@master", provenance=["A@master^"]) as commit:
        commit.put_file("/y", b"")
    assert pfs.provenance(commit) == [pfs.inspect_commit("A@master^")]
