"""The history of a file or directory: commits that changed it, at the cost of its path."""

from __future__ import annotations

import pytest

from airflow_pachy.errors import InvalidArgument, PathNotFound
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.content import ContentReader
from airflow_pachy.pfs.objects.wrappers import CountingStore
from airflow_pachy.pfs.root import Root
from airflow_pachy.pfs.tree.cache import shared


def versions(pfs, address, limit=None):
    return [(info.commit.partition("@")[2], info.size) for info in pfs.file_history(address, limit)]


def commit(pfs, path, data, **options):
    pfs.put_file(f"images@master:{path}", data, **options)
    return pfs.inspect_branch("images@master").head


def test_only_commits_that_changed_the_file(images):
    first = commit(images, "/f", b"1")
    commit(images, "/g", b"other")
    commit(images, "/f", b"1")
    second = commit(images, "/f", b"22")
    commit(images, "/f.txt", b"a neighbour")
    third = commit(images, "/f", b"22", executable=True)
    assert versions(images, "images@master:/f") == [(third, 2), (second, 2), (first, 1)]
    assert versions(images, "images@master:/f", 2) == [(third, 2), (second, 2)]
    assert versions(images, f"images@{second}:/f") == [(second, 2), (first, 1)]
    assert versions(images, "images@master:/f", 0) == []


def test_a_deletion_ends_it(images):
    commit(images, "/f", b"1")
    images.delete_file("images@master:/f")
    again = commit(images, "/f", b"333")
    assert versions(images, "images@master:/f") == [(again, 3)]


def test_directories_have_one_too(images):
    first = commit(images, "/d/a", b"1")
    commit(images, "/other", b"1")
    second = commit(images, "/d/b", b"1")
    third = commit(images, "/e/b", b"1")
    assert versions(images, "images@master:/d") == [(second, 2), (first, 1)]
    assert [one for one, _ in versions(images, "images@master:/")] == [
        one.id for one in images.list_commits("images@master")
    ]
    assert versions(images, "images@master:/e/") == [(third, 1)]


def test_a_file_that_was_a_directory(images):
    first = commit(images, "/x/y", b"1")
    with images.commit("images@master") as opened:
        opened.delete_file("/x")
        opened.put_file("/x", b"22")
    second = images.inspect_branch("images@master").head
    assert versions(images, "images@master:/x") == [(second, 2), (first, 1)]


def test_an_open_commit_is_part_of_it(images):
    first = commit(images, "/f", b"1")
    opened = images.start_commit("images@master").id
    images.put_file("images@master:/f", b"22")
    assert versions(images, "images@master:/f") == [(opened, 2), (first, 1)]


def test_what_is_refused(images):
    commit(images, "/f", b"1")
    with pytest.raises(PathNotFound, match="Did you mean"):
        images.file_history("images@master:/ff")
    with pytest.raises(InvalidArgument, match="limit must be 0 or more"):
        images.file_history("images@master:/f", -1)


def test_a_version_costs_its_path_however_many_files_there_are(tmp_path):
    with Pfs.open(f"file://{tmp_path}/store", f"sqlite:///{tmp_path}/db") as pfs:
        pfs.create_repo("images")
        pfs.put_split("images@master:/d", "x\n" * 50_000)
        for number in range(5):
            pfs.put_file("images@master:/d/0000000000000100", f"{number}")
            pfs.put_file("images@master:/z", f"{number}")
        shared.clear()
        store = CountingStore(pfs.store)
        counted = Pfs(Root(store, pfs.metadata, ContentReader(store)))
        assert len(versions(counted, "images@master:/d/0000000000000100")) == 6
        # Eleven roots, and of each version the leaf of the path: never the other leaves.
        assert store.counts.requests["get"] <= 11 + 6
