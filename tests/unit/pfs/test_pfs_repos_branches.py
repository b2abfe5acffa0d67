"""Repos and branches through the facade."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_pachy.errors import (
    AlreadyExists,
    BranchNotFound,
    CommitNotFound,
    CommitOpen,
    HasDependents,
    InvalidArgument,
    InvalidName,
    ObjectNotFound,
    RepoNotFound,
)
from airflow_pachy.pfs.mirror import read_mirror


def test_a_repo_is_created_described_and_listed(pfs):
    made = pfs.create_repo("images", "photos")
    assert (made.name, made.description, made.author, made.branches) == ("images", "photos", "user:ada", ())
    assert pfs.inspect_repo("images") == made
    assert [repo.name for repo in pfs.list_repos()] == ["images"]


def test_a_taken_name_is_refused_and_update_keeps_the_creation_time(pfs):
    made = pfs.create_repo("images", "photos")
    with pytest.raises(AlreadyExists, match="update repo"):
        pfs.create_repo("images")
    changed = pfs.create_repo("images", "better photos", update=True)
    assert (changed.created, changed.description) == (made.created, "better photos")


def test_repos_are_paged_by_name(pfs):
    for number in range(7):
        pfs.create_repo(f"r{number}")
    assert [repo.name for repo in pfs.list_repos(after="r2", limit=3)] == ["r3", "r4", "r5"]
    assert len(list(pfs.list_repos())) == 7


def test_a_bad_name_is_refused(pfs):
    with pytest.raises(InvalidName):
        pfs.create_repo("a.b")


def test_a_missing_repo_is_guessed(pfs):
    pfs.create_repo("images")
    with pytest.raises(RepoNotFound, match="Did you mean 'images'"):
        pfs.inspect_repo("image")
    with pytest.raises(RepoNotFound):
        pfs.put_file("imags@master:/a", b"")


def test_of_many_creators_one_succeeds(pfs):
    def create(_):
        try:
            pfs.create_repo("images")
        except AlreadyExists:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(40))) == 1


def test_a_deleted_repo_leaves_nothing_and_can_be_made_again(images):
    images.put_file("images@master:/a", b"1")
    images.delete_repo("images")
    with pytest.raises(RepoNotFound):
        images.get_file("images@master:/a")
    images.create_repo("images")
    assert images.list_branches("images") == []


def test_a_repo_that_others_derive_from_is_kept_unless_forced(images):
    images.put_file("images@master:/a", b"1")
    images.create_repo("edges")
    images.create_branch("edges@master", provenance=["images@master"])
    with pytest.raises(HasDependents, match="edges"):
        images.delete_repo("images")
    images.delete_repo("images", force=True)
    assert images.inspect_branch("edges@master").provenance == ()


def test_a_deleted_repo_leaves_no_copies_and_those_below_forget_it(images):
    """Else a database rebuilt from the bucket would have its commits again."""
    images.put_file("images@master:/a", b"1")
    first = images.inspect_branch("images@master").head
    images.create_repo("edges")
    images.create_branch("edges@master", provenance=["images@master"])
    images.put_file("edges@master:/a", b"1")
    below = images.inspect_branch("edges@master").head
    images.delete_repo("images", force=True)
    with pytest.raises(ObjectNotFound):
        read_mirror(images.store, first)
    assert read_mirror(images.store, below)["provenance"] == []
    assert images.inspect_commit("edges@master").provenance == ()


def test_a_branch_in_a_missing_repo_is_refused(pfs):
    with pytest.raises(RepoNotFound):
        pfs.create_branch("nowhere@master")


def test_a_branch_points_where_it_is_told(images):
    images.put_file("images@master:/a", b"1")
    images.put_file("images@master:/a", b"2")
    images.create_branch("images@old", head="images@master^")
    assert images.get_file("images@old:/a") == b"1"
    images.create_branch("images@old", head="images@master")
    assert images.get_file("images@old:/a") == b"2"
    assert [branch.name for branch in images.list_branches("images")] == ["old", "master"]


def test_rolling_back_is_a_move_of_the_head(images):
    images.put_file("images@master:/a", b"1")
    first = images.inspect_branch("images@master").head
    images.put_file("images@master:/a", b"2")
    moved = images.create_branch("images@master", head=f"images@{first}")
    assert (moved.head, moved.ordinal) == (first, 3)
    assert images.get_file("images@master:/a") == b"1"


def test_a_head_must_be_a_finished_commit_of_the_repo(images):
    images.create_repo("other")
    images.put_file("other@master:/a", b"1")
    with pytest.raises(InvalidArgument, match="of repo 'images'"):
        images.create_branch("images@b", head="other@master")
    images.start_commit("images@master")
    with pytest.raises(CommitOpen):
        images.create_branch("images@b", head="images@master")
    with pytest.raises(CommitNotFound):
        images.create_branch("images@b", head="images@" + "0" * 32)


def test_provenance_is_direct_and_circles_are_refused(pfs):
    for name in "ABCD":
        pfs.create_repo(name)
        pfs.create_branch(f"{name}@master")
    pfs.create_branch("B@master", provenance=["A@master"])
    pfs.create_branch("C@master", provenance=["B@master"])
    pfs.create_branch("D@master", provenance=["C@master", "A@master"])
    assert pfs.inspect_branch("D@master").provenance == ("A@master", "C@master")
    assert pfs.inspect_branch("A@master").subvenance == ("B@master", "D@master")
    with pytest.raises(InvalidArgument, match="circle"):
        pfs.create_branch("A@master", provenance=["D@master"])
    with pytest.raises(InvalidArgument, match="circle"):
        pfs.create_branch("A@master", provenance=["A@master"])
    with pytest.raises(BranchNotFound):
        pfs.create_branch("A@master", provenance=["D@nope"])
    assert pfs.inspect_branch("A@master").provenance == ()
    pfs.create_branch("D@master", provenance=["C@master"])
    assert pfs.inspect_branch("D@master").provenance == ("C@master",)


def test_a_branch_is_deleted_without_its_commits(images):
    images.put_file("images@master:/a", b"1")
    head = images.inspect_branch("images@master").head
    images.delete_branch("images@master")
    with pytest.raises(BranchNotFound, match="has no branch"):
        images.get_file("images@master:/a")
    assert images.get_file(f"images@{head}:/a") == b"1"
    with pytest.raises(BranchNotFound):
        images.delete_branch("images@master")


def test_a_branch_that_others_derive_from_is_kept_unless_forced(images):
    images.create_branch("images@a")
    images.create_branch("images@b", provenance=["images@a"])
    with pytest.raises(HasDependents, match="images@b"):
        images.delete_branch("images@a")
    images.delete_branch("images@a", force=True)
    assert images.inspect_branch("images@b").provenance == ()
