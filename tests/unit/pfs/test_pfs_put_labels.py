"""Labels that come with a put: every way of putting takes them, in a commit of its own and in an open one."""

from __future__ import annotations

import pytest

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs import Pfs, Split


@pytest.fixture
def pfs():
    with Pfs.open("memory://", "sqlite://") as client:
        client.create_repo("r")
        client.put_file("r@source:/a", b"a\nb\n")
        yield client


@pytest.fixture
def puts(tmp_path):
    """Every way of putting, by name."""
    directory = tmp_path / "d"
    directory.mkdir()
    file = directory / "a"
    file.write_bytes(b"a\nb\n")
    at = "r@master:/x"
    return {
        "file": lambda pfs, **more: pfs.put_file(at, b"1", **more),
        "dir": lambda pfs, **more: pfs.put_dir(at, directory, **more),
        "split": lambda pfs, **more: pfs.put_split(at, b"a\nb\n", **more),
        "url": lambda pfs, **more: pfs.put_url(at, file.as_uri(), **more),
        "split url": lambda pfs, **more: pfs.put_url(at, file.as_uri(), split=Split("line"), **more),
        "directory url": lambda pfs, **more: pfs.put_url(at, directory.as_uri(), recursive=True, **more),
        "appended directory url": lambda pfs, **more: pfs.put_url(
            at, directory.as_uri(), recursive=True, append=True, **more
        ),
        "pfs url": lambda pfs, **more: pfs.put_url(at, "pfs://r/source/a", **more),
        "appended pfs url": lambda pfs, **more: pfs.put_url(at, "pfs://r/source/a", append=True, **more),
        "split pfs url": lambda pfs, **more: pfs.put_url(at, "pfs://r/source/a", split=Split("line"), **more),
    }


WAYS = [
    "file", "dir", "split", "url", "split url", "directory url", "appended directory url", "pfs url",
    "appended pfs url", "split pfs url",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_commit_of_its_own_has_them(pfs, puts, way):
    puts[way](pfs, labels={"from": way})
    assert pfs.inspect_commit("r@master").labels == {"from": way}


@pytest.mark.parametrize("way", WAYS)
def test_an_open_commit_gets_them_besides_its_own(pfs, puts, way):
    pfs.start_commit("r@master", labels={"mine": "1"})
    puts[way](pfs, labels={"from": way})
    pfs.finish_commit("r@master")
    assert pfs.inspect_commit("r@master").labels == {"mine": "1", "from": way}


@pytest.mark.parametrize("way", WAYS)
def test_bad_ones_are_refused_before_anything_is_put(pfs, puts, way):
    with pytest.raises(InvalidArgument, match="cannot be the key of a label"):
        puts[way](pfs, labels={"": "x"})
    assert [branch.name for branch in pfs.list_branches("r")] == ["source"]


def test_all_ways_are_tried(puts):
    assert list(puts) == WAYS
