"""Files through the facade: put, get, list, glob, diff, delete, copy."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_pachy.errors import (
    InvalidAddress,
    InvalidArgument,
    InvalidPath,
    PathConflict,
    PathNotFound,
)
from airflow_pachy.pfs.uploads import Told


def paths(infos):
    return [info.path for info in infos]


@pytest.fixture(params=["one-shot", "open"])
def writable(request, images):
    """The same operations as commits of their own, and inside an open commit."""
    if request.param == "open":
        images.start_commit("images@master")
    return images


@pytest.mark.parametrize("data", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes"), "bytes", io.BytesIO(b"bytes")])
def test_anything_with_bytes_can_be_put(images, data):
    images.put_file("images@master:/f", data)
    assert images.get_file("images@master:/f") == b"bytes"


def test_a_local_file_keeps_its_exec_bit_and_time(images, tmp_path):
    local = tmp_path / "run.sh"
    local.write_bytes(b"#!/bin/sh\n")
    local.chmod(0o755)
    os.utime(local, (1_700_000_000, 1_700_000_000))
    images.put_file("images@master:/run.sh", local)
    info = images.inspect_file("images@master:/run.sh")
    assert (info.executable, info.modified.timestamp()) == (True, 1_700_000_000)
    images.get_dir("images@master:/", tmp_path / "out")
    assert (tmp_path / "out" / "run.sh").stat().st_mode & 0o100


def test_what_is_no_content_is_refused(images, tmp_path):
    with pytest.raises(InvalidArgument, match="not int"):
        images.put_file("images@master:/f", 7)
    with pytest.raises(InvalidPath, match="put_dir"):
        images.put_file("images@master:/f", tmp_path)
    with pytest.raises(InvalidAddress, match="names no path"):
        images.put_file("images@master", b"")
    with pytest.raises(InvalidPath):
        images.put_file("images@master:/d/", b"")
    with pytest.raises(InvalidPath):
        images.put_file("images@master:/", b"")


def test_each_call_is_a_commit(images):
    for number in range(3):
        images.put_file("images@master:/f", str(number))
    assert len(list(images.list_commits("images@master"))) == 3
    assert images.get_file("images@master^:/f") == b"1"


def test_put_overwrites_and_append_appends(writable):
    writable.put_file("images@master:/f", b"one")
    writable.put_file("images@master:/f", b"two")
    writable.put_file("images@master:/f", b"+", append=True)
    writable.put_file("images@master:/g", b"new", append=True)
    assert writable.get_file("images@master:/f") == b"two+"
    assert writable.get_file("images@master:/g") == b"new"


def test_large_files_are_cut_and_joined(writable):
    data = os.urandom(9 << 20)
    writable.put_file("images@master:/big", io.BytesIO(data))
    writable.put_file("images@master:/big", b"tail", append=True)
    assert writable.get_file("images@master:/big") == data + b"tail"
    assert writable.get_file("images@master:/big", offset=5 << 20, length=10) == data[5 << 20 :][:10]
    assert writable.get_file("images@master:/big", offset=1 << 30) == b""
    with writable.open_file("images@master:/big") as file:
        file.seek(-4, io.SEEK_END)
        assert file.read() == b"tail"


def test_a_small_edit_of_a_large_file_stores_little(images, tmp_path):
    local = tmp_path / "big"
    data = bytearray(os.urandom(24 << 20))
    local.write_bytes(data)
    images.put_file("images@master:/big", local)

    def stored():
        return sum(info.size_bytes for info in images.store.list_keys("packs/"))

    before = stored()
    data[5] ^= 1
    local.write_bytes(data)
    images.put_file("images@master:/big", local)
    assert stored() - before <= 12 << 20
    assert images.get_file("images@master:/big") == bytes(data)


def test_negative_ranges_are_refused(images):
    images.put_file("images@master:/f", b"abc")
    with pytest.raises(InvalidArgument):
        images.get_file("images@master:/f", offset=-1)


def test_missing_files_are_guessed(images):
    images.put_file("images@master:/photos/cat.png", b"")
    with pytest.raises(PathNotFound, match=r"/photos/cats.png .*Did you mean 'cat.png' in /photos/\?"):
        images.get_file("images@master:/photos/cats.png")
    with pytest.raises(FileNotFoundError, match="Did you mean 'photos'"):
        images.get_file("images@master:/photo")
    with pytest.raises(InvalidPath, match="get_dir"):
        images.get_file("images@master:/photos")


def test_conflicts_are_refused_when_they_are_made(writable):
    writable.put_file("images@master:/a/b", b"1")
    with pytest.raises(PathConflict):
        writable.put_file("images@master:/a", b"2")
    with pytest.raises(PathConflict):
        writable.put_file("images@master:/a/b/c", b"2")
    assert paths(writable.walk_file("images@master:/")) == ["/", "/a/", "/a/b"]


def test_a_refused_put_leaves_no_copy_of_a_commit(images):
    images.put_file("images@master:/a/b", b"1")
    before = [info.key for info in images.store.list_keys("commits/")]
    with pytest.raises(PathConflict):
        images.put_file("images@master:/a", b"2")
    assert [info.key for info in images.store.list_keys("commits/")] == before


def test_delete_then_put_may_turn_a_file_into_a_directory(writable):
    writable.put_file("images@master:/a", b"1")
    writable.delete_file("images@master:/a")
    writable.put_file("images@master:/a/b", b"2")
    assert writable.get_file("images@master:/a/b") == b"2"


def test_delete(writable):
    for name in ("a", "d/b", "d/e/c", "x[1].txt", "x1.txt", "y.txt"):
        writable.put_file(f"images@master:/{name}", b"1")
    count = len(list(writable.list_commits("images@master")))
    writable.delete_file("images@master:/nothing")
    assert len(list(writable.list_commits("images@master"))) == count
    writable.delete_file("images@master:/d/")
    assert paths(writable.list_file("images@master:/")) == ["/a", "/x1.txt", "/x[1].txt", "/y.txt"]
    writable.delete_file("images@master:/x[1].txt")
    assert paths(writable.list_file("images@master:/")) == ["/a", "/x1.txt", "/y.txt"]
    writable.delete_file("images@master:/*.txt")
    assert paths(writable.list_file("images@master:/")) == ["/a"]
    writable.delete_file("images@master:/")
    assert paths(writable.list_file("images@master:/")) == []


def test_list_walk_and_page(writable):
    for name in ("b", "a/2", "a/1", "a.txt", "c/d/e"):
        writable.put_file(f"images@master:/{name}", name)
    everything = ["/", "/a.txt", "/a/", "/a/1", "/a/2", "/b", "/c/", "/c/d/", "/c/d/e"]
    assert sorted(paths(writable.walk_file("images@master:/"))) == sorted(everything)
    top = paths(writable.list_file("images@master:/"))
    assert sorted(top) == ["/a.txt", "/a/", "/b", "/c/"]
    assert paths(writable.list_file("images@master:/", reverse=True)) == top[::-1]
    assert paths(writable.list_file("images@master:/", after=top[0], limit=2)) == top[1:3]
    assert paths(writable.list_file("images@master:/a", after="1")) == ["/a/2"]
    assert paths(writable.list_file("images@master:/a/1")) == ["/a/1"]
    walked = paths(writable.walk_file("images@master:/"))
    for index in range(len(walked)):
        assert paths(writable.walk_file("images@master:/", after=walked[index])) == walked[index + 1 :], walked[index]
    with pytest.raises(PathNotFound):
        list(writable.walk_file("images@master:/nope"))
    directory = next(info for info in writable.list_file("images@master:/") if info.path == "/a/")
    assert (directory.type, directory.size, directory.file_count) == ("dir", 6, 2)


def test_inspect_tells_the_hash_of_a_directory(images):
    images.put_file("images@master:/a/1", b"1")
    images.put_file("images@master:/b/1", b"1")
    first, second = (images.inspect_file(f"images@master:/{name}") for name in "ab")
    assert first.hash == second.hash
    assert (first.path, first.type, first.size) == ("/a/", "dir", 1)
    file = images.inspect_file("images@master:/a/1")
    assert (file.path, file.type, file.size, len(file.hash)) == ("/a/1", "file", 1, 64)
    assert file.commit == str(images.inspect_commit("images@master"))


def test_glob(writable):
    for name in ("a.png", "b.txt", "d/c.png"):
        writable.put_file(f"images@master:/{name}", b"")
    assert paths(writable.glob_file("images@master", "/*.png")) == ["/a.png"]
    assert sorted(paths(writable.glob_file("images@master", "/*"))) == ["/a.png", "/b.txt", "/d/"]
    assert paths(writable.glob_file("images@master", "/**.png", after="/a.png")) == ["/d/c.png"]
    assert paths(writable.glob_file("images@master", "/")) == ["/"]
    assert len(paths(writable.glob_file("images@master", "/**", limit=2))) == 2


def test_diff(images):
    for name in ("a", "b", "d/c"):
        images.put_file(f"images@master:/{name}", b"1")
    with images.commit("images@master") as commit:
        commit.put_file("/b", b"2")
        commit.put_file("/n", b"3")
        commit.delete_file("/d")
    diffs = list(images.diff_file("images@master"))
    assert [(diff.path, diff.new is None, diff.old is None) for diff in diffs] == [
        ("/b", False, False), ("/d/c", True, False), ("/n", False, True),
    ]  # fmt: skip
    assert paths(images.diff_file("images@master:/d")) == ["/d/c"]
    assert paths(images.diff_file("images@master", "images@master")) == []
    assert paths(images.diff_file("images@master.1")) == ["/a"]
    assert len(list(images.diff_file("images@master", "images@master.1"))) == 2
    with pytest.raises(InvalidArgument):
        images.diff_file("images@master:/a", "images@master^:/b")


def test_copy_moves_no_bytes(images):
    images.create_repo("other")
    with images.commit("images@master") as commit:
        commit.put_file("/d/a", os.urandom(5000))
        commit.put_file("/d/e/b", b"b")
    before = [info.key for info in images.store.list_keys("packs/")]
    images.copy_file("images@master:/d", "other@master:/copy")
    images.copy_file("images@master:/d/a", "other@master:/single")
    assert [info.key for info in images.store.list_keys("packs/")] == before
    assert paths(images.walk_file("other@master:/")) == ["/", "/copy/", "/copy/a", "/copy/e/", "/copy/e/b", "/single"]
    assert images.get_file("other@master:/copy/a") == images.get_file("images@master:/d/a")
    images.copy_file("images@master:/d/e", "other@master:/copy")
    assert paths(images.walk_file("other@master:/copy")) == ["/copy/", "/copy/b"]
    images.copy_file("images@master:/d", "other@master:/copy", append=True)
    images.copy_file("images@master:/d/e/b", "other@master:/copy/b", append=True)
    assert paths(images.list_file("other@master:/copy")) == ["/copy/a", "/copy/b", "/copy/e/"]
    assert images.get_file("other@master:/copy/b") == b"bb"
    with pytest.raises(PathNotFound):
        images.copy_file("images@master:/nope", "other@master:/x")


def test_put_dir_and_get_dir_are_an_identity(writable, tmp_path):
    source = tmp_path / "source"
    (source / "a" / "b").mkdir(parents=True)
    (source / "a.x").write_bytes(b"sorted between a and a/")
    (source / "a" / "b" / "big").write_bytes(os.urandom(3 << 20))
    (source / "a" / "é ü").write_bytes(b"u")
    (source / "empty").write_bytes(b"")
    writable.put_dir("images@master:/top", source)
    writable.put_dir("images@master:/top", source)
    writable.get_dir("images@master:/top", tmp_path / "out")
    for found in source.rglob("*"):
        if found.is_file():
            assert (tmp_path / "out" / found.relative_to(source)).read_bytes() == found.read_bytes()
    assert writable.inspect_file("images@master:/top").file_count == 4
    writable.put_dir("images@master:/top", source, append=True)
    assert len(writable.get_file("images@master:/top/a/b/big")) == 6 << 20
    assert writable.get_file("images@master:/top/a/é ü") == b"uu"


@pytest.mark.parametrize("append", [False, True])
def test_progress_of_directories_is_told_in_files_and_bytes(images, tmp_path, append):
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    sizes = {"empty": 0, "small": 100, "middle": 5000, "d/large": 3 << 20}
    for name, size in sizes.items():
        (source / name).write_bytes(os.urandom(size))
    everything = (len(sizes), sum(sizes.values()))

    def of_call(transfer):
        told = []
        transfer(lambda *news: told.append(news))
        assert all(files >= 0 and size >= 0 for files, size in told)
        return tuple(map(sum, zip(*told, strict=True)))

    for _ in range(2):  # what is there already is read all the same
        assert of_call(lambda tell: images.put_dir("images@master:/", source, append, progress=tell)) == everything
    if not append:
        assert of_call(lambda tell: images.get_dir("images@master:/", tmp_path / "out", progress=tell)) == everything


def test_progress_of_a_put_that_is_repeated_is_told_once():
    told = []
    seen = Told(lambda *news: told.append(news))
    for files in (2, 3):  # another writer was faster, and meanwhile a file has come to the directory
        seen.begin()
        for _ in range(files):
            seen.add(0, 10)
            seen.add(1, 0)
    assert tuple(map(sum, zip(*told, strict=True))) == (3, 30)


def test_putting_a_directory_again_stores_only_what_changed(images, tmp_path):
    tmp_path = tmp_path / "source"
    tmp_path.mkdir()
    for number in range(50):
        (tmp_path / f"f{number}").write_bytes(os.urandom(4096))
    images.put_dir("images@master:/", tmp_path)
    (tmp_path / "f7").write_bytes(os.urandom(4096))
    before = sum(info.size_bytes for info in images.store.list_keys("packs/"))
    images.put_dir("images@master:/", tmp_path)
    assert sum(info.size_bytes for info in images.store.list_keys("packs/")) - before == 4096
    assert paths(images.diff_file("images@master")) == ["/f7"]


def test_put_dir_names_what_it_cannot_take(images, tmp_path):
    tmp_path = tmp_path / "source"
    tmp_path.mkdir()
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "d")
    with pytest.raises(InvalidPath, match="link to a directory"):
        images.put_dir("images@master:/", tmp_path)
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(InvalidPath, match="link to nothing"):
        images.put_dir("images@master:/", tmp_path)
    (tmp_path / "link").unlink()
    odd = os.fsencode(tmp_path) + b"/a\xff"
    open(odd, "w").close()
    with pytest.raises(InvalidPath, match=r"/a\\xff' cannot be put.*UTF-8"):
        images.put_dir("images@master:/", tmp_path)
    os.unlink(odd)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidPath, match="neither a file nor a directory"):
        images.put_dir("images@master:/", tmp_path)
    with pytest.raises(InvalidPath, match="not a directory"):
        images.put_dir("images@master:/", tmp_path / "no")
    assert images.list_branches("images") == []


def test_one_shot_puts_from_many_threads_all_land(images):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: images.put_file(f"images@master:/f{number}", str(number)), range(40)))
    assert len(list(images.list_commits("images@master"))) == 40
    assert images.inspect_file("images@master:/").file_count == 40


def test_appends_from_many_threads_all_land(writable):
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: writable.put_file("images@master:/f", f"{number}\n", append=True), range(24)))
    lines = writable.get_file("images@master:/f").decode().split()
    assert sorted(map(int, lines)) == list(range(24))


def test_a_killed_writer_leaves_nothing_visible(images, monkeypatch):
    images.put_file("images@master:/a", b"1")
    before = images.inspect_branch("images@master")
    monkeypatch.setattr("airflow_pachy.pfs.oneshot_rows.move_head", _die)
    with pytest.raises(KeyboardInterrupt):
        images.put_file("images@master:/a", b"2")
    assert images.inspect_branch("images@master") == before
    assert images.get_file("images@master:/a") == b"1"


def _die(*args):
    raise KeyboardInterrupt
