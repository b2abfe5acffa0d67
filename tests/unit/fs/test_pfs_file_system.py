"""The fsspec file system: read by range, write as commits, and what other libraries make of it."""

from __future__ import annotations

import io

import pytest

from airflow_pachy.fs.pfs import PfsFileSystem, get_fs
from airflow_pachy.pfs import Pfs


@pytest.fixture
def where(tmp_path):
    return {"storage": f"file://{tmp_path}/store", "metadata": f"sqlite:///{tmp_path}/names.db"}


@pytest.fixture
def pfs(where):
    with Pfs.open(**where) as client:
        client.create_repo("data")
        with client.commit("data@master") as commit:
            commit.put_file("/a.csv", "x,y\n1,2\n")
            commit.put_file("/d/b.bin", bytes(range(256)) * 1000)
            commit.put_file("/d/e/c", "c")
        yield client


@pytest.fixture
def fs(pfs, where):
    return PfsFileSystem(**where, skip_instance_cache=True)


def test_repos_branches_directories_and_files_are_levels(fs, pfs):
    pfs.create_branch("data@empty")
    assert fs.ls("", detail=False) == ["data"]
    assert sorted(fs.ls("pfs://data", detail=False)) == ["data/empty", "data/master"]
    assert fs.ls("data/master", detail=False) == ["data/master/a.csv", "data/master/d"]
    assert fs.ls("data/empty") == []
    assert fs.find("data/master") == ["data/master/a.csv", "data/master/d/b.bin", "data/master/d/e/c"]
    assert fs.glob("data/master/**/*.bin") == ["data/master/d/b.bin"]
    assert fs.isdir("data/master/d")
    assert fs.isfile("data/master/d/e/c")
    assert not fs.exists("data/master/nope")
    assert fs.du("data/master") == 8 + 256_000 + 1


@pytest.mark.parametrize("path", ["nope", "nope/master", "data/nope", "data/nope/a", "data/master/nope"])
def test_what_is_missing_is_a_file_not_found(fs, path):
    with pytest.raises(FileNotFoundError, match="nope"):
        fs.info(path)
    with pytest.raises(FileNotFoundError):
        fs.ls(path)


def test_commits_and_ancestry_are_read_like_branches(fs, pfs):
    old = pfs.inspect_branch("data@master").head
    pfs.put_file("data@master:/a.csv", "new")
    assert fs.cat("data/master/a.csv") == b"new"
    assert fs.cat(f"data/{old}/a.csv") == fs.cat("data/master^/a.csv") == b"x,y\n1,2\n"


def test_ranges_are_those_of_fsspec(fs):
    assert fs.cat_file("data/master/d/b.bin", 10, 13) == bytes([10, 11, 12])
    assert fs.cat_file("data/master/d/b.bin", -2) == bytes([254, 255])
    assert fs.cat_file("data/master/a.csv", 0, -5) == b"x,y"
    assert fs.tail("data/master/a.csv", 4) == b"1,2\n"
    with fs.open("data/master/d/b.bin") as file:
        file.seek(255)
        assert file.read(2) == bytes([255, 0])


def test_a_file_that_is_closed_is_a_commit(fs, pfs):
    with fs.open("pfs://data/master/new/file.txt", "w") as file:
        file.write("hello")
    assert pfs.get_file("data@master:/new/file.txt") == b"hello"
    with fs.open("data/master/new/file.txt", "ab") as file:
        file.write(b" you")
    assert pfs.get_file("data@master:/new/file.txt") == b"hello you"
    assert len(list(pfs.list_commits("data@master"))) == 3


def test_a_block_that_raises_commits_nothing(fs, pfs):
    def half():
        with fs.open("data/master/half", "wb") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert not fs.exists("data/master/half")
    assert len(list(pfs.list_commits("data@master"))) == 1


def test_a_transaction_is_one_commit_or_none(fs, pfs):
    with fs.transaction:
        for name in ("p", "q"):
            with fs.open(f"data/master/{name}", "wb") as file:
                file.write(name.encode())
        assert not fs.exists("data/master/p")
    assert fs.cat("data/master/q") == b"q"
    assert len(list(pfs.list_commits("data@master"))) == 2

    def half():
        with fs.transaction:
            fs.pipe_file("data/master/r", b"r")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert not fs.exists("data/master/r")
    fs.pipe_file("data/master/s", b"s")
    assert fs.cat("data/master/s") == b"s"


def test_copy_and_delete_take_paths_literally(fs, pfs):
    pfs.put_file("data@master:/[ab]*", "odd")
    fs.cp_file("data/master/[ab]*", "data/master/copy")
    assert fs.cat("data/master/copy") == b"odd"
    fs.rm("data/master/[ab]*")
    assert not fs.exists("data/master/[ab]*")
    assert fs.exists("data/master/a.csv")
    with pytest.raises(IsADirectoryError, match="recursive=True"):
        fs.rm("data/master/d")
    fs.rm("data/master/d", recursive=True)
    assert not fs.exists("data/master/d")


def test_exclusive_and_impossible_modes(fs):
    with pytest.raises(FileExistsError):
        fs.open("data/master/a.csv", "xb")
    with pytest.raises(ValueError, match="use rb, wb, xb or ab"):
        fs.open("data/master/a.csv", "r+b")
    with pytest.raises(IsADirectoryError, match="pfs://repo/branch/path"):
        fs.open("data/master", "wb")


def test_arrow_reads_and_writes_through_it(fs, pfs):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"n": list(range(1000))})
    pq.write_table(table, "data/master/t.parquet", filesystem=fs)
    assert pq.read_table("data/master/t.parquet", filesystem=fs).equals(table)


def test_the_scheme_is_known_to_fsspec_and_airflow(pfs, where, monkeypatch):
    import fsspec

    assert fsspec.get_filesystem_class("pfs") is PfsFileSystem
    monkeypatch.setenv("PACHY_STORAGE", where["storage"])
    monkeypatch.setenv("PACHY_METADATA", where["metadata"])
    PfsFileSystem.clear_instance_cache()
    assert get_fs("pachy_default").cat("data/master/d/e/c") == b"c"


def test_object_storage_path(pfs, where, monkeypatch):
    from airflow.sdk import ObjectStoragePath

    monkeypatch.setenv("PACHY_STORAGE", where["storage"])
    monkeypatch.setenv("PACHY_METADATA", where["metadata"])
    PfsFileSystem.clear_instance_cache()
    root = ObjectStoragePath("pfs://pachy_default@data/master")
    assert (root / "a.csv").read_text() == "x,y\n1,2\n"
    assert sorted(path.name for path in root.iterdir()) == ["a.csv", "d"]
    (root / "made" / "by.txt").write_text("a task")
    assert pfs.get_file("data@master:/made/by.txt") == b"a task"
    assert io.BytesIO((root / "d" / "b.bin").read_bytes()).getbuffer().nbytes == 256_000
