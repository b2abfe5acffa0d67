"""Several operations as one: all or none."""

from __future__ import annotations

import threading

import pytest

from airflow_pachy.errors import AlreadyExists, Conflict, InvalidArgument, ObjectNotFound, RepoNotFound
from airflow_pachy.metadata.urls import is_memory
from airflow_pachy.pfs import Pfs, Trigger
from airflow_pachy.pfs.mirror import read_mirror


@pytest.fixture(params=["file", "memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def pfs(request, tmp_path):
    url = {"file": f"sqlite:///{tmp_path / 'pachy.db'}", "memory": "sqlite://"}.get(request.param)
    with Pfs.open("memory://", url or request.getfixturevalue("postgres_url"), principal="user:ada") as client:
        yield client


def fail_after(pfs, work):
    """Do the work in a transaction that then fails."""

    def block():
        with pfs.transaction() as same:
            assert same is pfs
            work()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()


def build(pfs):
    pfs.create_repo("images", labels={"team": "vision"})
    pfs.create_repo("edges")
    pfs.create_branch("images@master")
    pfs.create_branch("edges@master", provenance=["images@master"])
    pfs.create_branch("images@released", trigger=Trigger("master", commits=1))
    pfs.start_commit("images@master", labels={"by": "hand"})
    pfs.put_file("images@master:/a", b"1")
    return pfs.finish_commit("images@master")


def test_operations_see_those_before_them_and_happen_together(pfs):
    with pfs.transaction():
        first = build(pfs)
        assert pfs.inspect_branch("images@released").head == first.id
        pfs.tag_commit("images@master", "v1.0")
        pfs.put_file("images@master:/b", b"2")
        pfs.put_file("edges@master:/e", b"3")
        pfs.update_commit("images@master", "two files")
        assert pfs.get_file("images@v1.0:/a") == b"1"
        assert [info.repo for info in pfs.provenance("edges@master")] == ["images"]
    assert [file.path for file in pfs.list_file("images@released:/")] == ["/a", "/b"]
    head = pfs.inspect_commit("images@master")
    assert (head.description, head.parent) == ("two files", f"images@{first.id}")
    assert read_mirror(pfs.store, head.id)["description"] == "two files"
    assert [tag["name"] for tag in read_mirror(pfs.store, first.id)["tags"]] == ["v1.0"]


def test_an_error_takes_everything_back(pfs):
    ids = []

    def work():
        ids.append(build(pfs).id)
        pfs.put_file("images@master:/b", b"2")
        ids.append(pfs.inspect_branch("images@master").head)

    fail_after(pfs, work)
    assert list(pfs.list_repos()) == []
    for commit_id in ids:
        with pytest.raises(ObjectNotFound):
            read_mirror(pfs.store, commit_id)
    build(pfs)


def test_what_was_there_before_is_as_it_was(pfs):
    first = build(pfs)
    pfs.put_file("images@master:/b", b"2")
    pfs.create_repo("late")
    before = [pfs.inspect_branch(f"images@{name}") for name in ("master", "released")]

    def work():
        pfs.create_branch("images@master", head=f"images@{first.id}")
        pfs.tag_commit(f"images@{first.id}", "v1")
        pfs.delete_branch("edges@master")
        pfs.delete_repo("late")
        pfs.put_file("images@master:/c", b"3")
        pfs.drop_commit("images@master")
        pfs.create_branch("images@released", trigger={})

    fail_after(pfs, work)
    assert [pfs.inspect_branch(f"images@{name}") for name in ("master", "released")] == before
    assert [repo.name for repo in pfs.list_repos()] == ["edges", "images", "late"]
    assert pfs.list_tags("images") == []
    assert read_mirror(pfs.store, before[0].head)["parent"] == first.id
    assert read_mirror(pfs.store, first.id)["tags"] == []


def test_an_operation_that_fails_and_is_caught_takes_back_only_itself(pfs):
    with pfs.transaction():
        pfs.create_repo("images")
        with pytest.raises(AlreadyExists):
            pfs.create_repo("images")
        with pytest.raises(RepoNotFound):
            pfs.create_branch("imagse@master")
        with pytest.raises(InvalidArgument):
            pfs.create_branch("images@master", trigger=Trigger("master"))
        pfs.put_file("images@other:/a", b"1")
    assert [branch.name for branch in pfs.list_branches("images")] == ["other"]


def test_an_open_commit_goes_back_to_what_it_was(pfs):
    pfs.create_repo("images")
    commit = pfs.start_commit("images@master")
    pfs.put_file("images@master:/a", b"1")

    def work():
        pfs.put_file("images@master:/b", b"2")
        pfs.finish_commit("images@master")
        pfs.put_file("images@master:/c", b"3")

    fail_after(pfs, work)
    assert pfs.inspect_commit(commit).state == "open"
    assert [file.path for file in pfs.list_file("images@master:/")] == ["/a"]
    pfs.put_file("images@master:/d", b"4")
    assert pfs.finish_commit(commit).file_count == 2
    assert [file.path for file in pfs.list_file("images@master:/")] == ["/a", "/d"]


def test_a_commit_block_inside_is_part_of_it(pfs):
    pfs.create_repo("images")

    def work():
        with pfs.commit("images@master") as commit:
            commit.put_file("/a", b"1")
        assert pfs.get_file("images@master:/a") == b"1"

    fail_after(pfs, work)
    assert pfs.list_branches("images") == []
    with pfs.transaction():
        work()
    assert pfs.get_file("images@master:/a") == b"1"


def test_two_commits_are_released_together(pfs):
    """Commits to two inputs, finished in one transaction: whoever sees one sees the other."""
    for name in ("images", "masks"):
        pfs.create_repo(name)
        pfs.start_commit(f"{name}@master")
        pfs.put_file(f"{name}@master:/a", b"1")
    with pfs.transaction():
        pfs.finish_commit("images@master")
        assert pfs.inspect_branch("images@master").head is not None
        if not is_memory(pfs.metadata.engine.url):
            heads = []
            other = threading.Thread(target=lambda: heads.append(pfs.inspect_branch("images@master").head))
            other.start()
            other.join()
            assert heads == [None]
        pfs.finish_commit("masks@master")
    assert all(pfs.inspect_branch(f"{name}@master").head for name in ("images", "masks"))


def test_transactions_do_not_nest_and_nothing_is_waited_for_in_them(pfs):
    pfs.create_repo("images")
    pfs.put_file("images@master:/a", b"1")
    with pfs.transaction():
        with pytest.raises(Conflict, match="do not nest"), pfs.transaction():
            pass
        for wait in (
            lambda: pfs.wait_commit("images@master"),
            lambda: pfs.flush_commit(["images@master"]),
            lambda: pfs.subscribe_commit("images@master"),
        ):
            with pytest.raises(Conflict, match="transaction"):
                wait()
    with pfs.transaction():
        pfs.create_repo("again")


@pytest.mark.postgres
def test_transactions_of_many_threads_all_land(postgres_url):
    with Pfs.open("memory://", postgres_url) as pfs:
        pfs.create_repo("images")

        def work(number):
            with pfs.transaction():
                pfs.create_branch(f"images@b{number}")
                pfs.create_branch(f"images@c{number}", provenance=[f"images@b{number}"])
                pfs.put_file("images@master:/a", str(number))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(pfs.list_branches("images")) == 17
        assert [info.ordinal for info in pfs.list_commits("images@master")] == list(range(8, 0, -1))
