"""Taking commits out of history, and output commits of jobs."""

from __future__ import annotations

import pytest

from airflow_pachy.errors import (
    BranchMoved,
    CommitFinished,
    CommitNotFound,
    CommitOpen,
    HasDependents,
    ObjectNotFound,
    RepoNotFound,
)
from airflow_pachy.pfs.mirror import read_mirror


@pytest.fixture
def history(images):
    """Three commits of images@master; their ids, oldest first."""
    for number in range(3):
        images.put_file(f"images@master:/{number}", str(number))
    return [info.id for info in images.list_commits("images@master", reverse=True)]


def test_dropping_the_head_falls_back_to_its_parent(images, history):
    images.drop_commit("images@master")
    assert images.inspect_branch("images@master").head == history[1]
    with pytest.raises(CommitNotFound):
        images.inspect_commit(f"images@{history[2]}")
    with pytest.raises(ObjectNotFound):
        read_mirror(images.store, history[2])


def test_dropping_the_only_commit_leaves_an_empty_branch(images):
    images.put_file("images@master:/a", b"1")
    images.drop_commit("images@master")
    assert images.inspect_branch("images@master").head is None
    assert images.inspect_repo("images").size_bytes == 0
    images.put_file("images@master:/b", b"1")
    assert images.inspect_commit("images@master").parent is None


def test_dropping_an_open_commit_frees_its_branch(images, history):
    images.start_commit("images@master")
    images.put_file("images@master:/x", b"")
    images.drop_commit("images@master")
    assert images.inspect_commit("images@master").id == history[2]


def test_a_commit_with_children_is_squashed_not_dropped(images, history):
    with pytest.raises(HasDependents, match="squash"):
        images.drop_commit(f"images@{history[1]}")
    images.squash_commit(f"images@{history[1]}")
    assert images.inspect_commit("images@master").parent == f"images@{history[0]}"
    assert images.get_file("images@master:/1") == b"1"
    assert read_mirror(images.store, history[2])["parent"] == history[0]
    with pytest.raises(HasDependents, match="drop it"):
        images.squash_commit("images@master")


def test_squashing_below_an_open_commit_is_refused(images, history):
    images.start_commit("images@master")
    with pytest.raises(CommitOpen):
        images.squash_commit(f"images@{history[2]}")


def test_what_derives_from_a_commit_is_deleted_with_it(images, history):
    images.create_repo("edges")
    with images.commit("edges@master", provenance=[f"images@{history[1]}"]) as commit:
        commit.put_file("/e", b"")
    with pytest.raises(HasDependents, match="edges@"):
        images.squash_commit(f"images@{history[1]}")
    images.delete_commit(f"images@{history[1]}")
    assert images.inspect_branch("edges@master").head is None
    assert [info.id for info in images.list_commits("images@master")] == [history[2], history[0]]


def test_an_output_commit_is_invisible_until_published(images, history):
    images.create_repo("edges")
    output = images.start_output_commit("edges@master", provenance=[history[2]], job="j" * 32)
    info = images.inspect_commit(output)
    assert (info.state, info.origin, info.job, info.provenance) == ("open", "auto", "j" * 32, (f"images@{history[2]}",))
    assert images.inspect_branch("edges@master").head is None
    tree = images.tree("images@master")
    images.mirror_commit(output, tree, seen_head=None)
    document = read_mirror(images.store, output)
    for _ in range(2):
        with images.metadata.session() as session:
            images.publish_output_commit(session, output, tree, seen_head=None)
    published = images.inspect_commit("edges@master")
    assert (published.id, published.file_count, published.ordinal) == (output, 3, 1)
    assert (document["ordinal"], document["tree"], document["state"]) == (1, published.tree, "finished")
    assert document["provenance"] == [history[2]]
    with pytest.raises(CommitFinished), images.metadata.session() as session:
        images.publish_output_commit(session, output, images.tree(f"images@{history[0]}"), seen_head=None)


def test_publishing_on_a_head_that_moved_is_refused(images, history):
    output = images.start_output_commit("images@master")
    with pytest.raises(BranchMoved, match=history[2]), images.metadata.session() as session:
        images.publish_output_commit(session, output, images.tree("images@master"), seen_head=history[0])
    assert images.inspect_commit(output).state == "open"


def test_a_dropped_output_commit_may_be_opened_again(images, history):
    output = images.start_output_commit("images@master")
    images.drop_output_commit(output, "three datums failed")
    images.drop_output_commit(output, "again")
    info = images.inspect_commit(output)
    assert (info.state, info.error) == ("error", "three datums failed")
    with pytest.raises(CommitFinished), images.metadata.session() as session:
        images.publish_output_commit(session, output, images.tree("images@master"), seen_head=history[2])
    images.reopen_output_commit(output)
    images.reopen_output_commit(output)
    with images.metadata.session() as session:
        images.publish_output_commit(session, output, images.tree("images@master"), seen_head=history[2])
    with pytest.raises(CommitFinished):
        images.reopen_output_commit(output)
    images.drop_output_commit(output, "too late")
    assert images.inspect_commit(output).state == "finished"


def test_an_output_commit_needs_its_repo_and_its_inputs(images):
    with pytest.raises(RepoNotFound):
        images.start_output_commit("nowhere@master")
    with pytest.raises(CommitNotFound):
        images.start_output_commit("images@master", provenance=["0" * 32])


def test_an_output_commit_may_be_started_in_the_callers_transaction(images):
    def work():
        with images.metadata.session() as session:
            images.start_output_commit("images@master", session=session)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert images.list_branches("images") == []
