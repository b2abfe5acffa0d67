"""Putting and getting files."""

from pathlib import Path

import pytest


def test_list_file_shows_directories_with_a_slash(pachy, images: Path) -> None:
    shown = pachy("list", "file", "images@master")
    assert shown.lines[0].split() == ["NAME", "TYPE", "SIZE"]
    assert shown.rows == [["/2024/", "dir", "2.93 KiB"], ["/a.png", "file", "100 B"]]
    assert [row[0] for row in pachy("list", "file", "images@master:/2024").rows] == ["/2024/b.png"]
    assert [row[0] for row in pachy("list", "file", "images@master", "-r").rows] == ["/2024/b.png", "/a.png"]


def test_list_file_pages(pachy, images: Path) -> None:
    assert [row[0] for row in pachy("list", "file", "images@master", "--limit", "1").rows] == ["/2024/"]
    assert [row[0] for row in pachy("list", "file", "images@master", "--after", "/2024").rows] == ["/a.png"]


def test_glob_file(pachy, images: Path) -> None:
    assert [row[0] for row in pachy("glob", "file", "images@master:/**.png").rows] == ["/2024/b.png", "/a.png"]
    assert [d["path"] for d in pachy("glob", "file", "images@master:/*.png", "--json").documents] == ["/a.png"]
    assert "has no pattern" in pachy("glob", "file", "images@master", fails=True).err


def test_inspect_file(pachy, images: Path) -> None:
    document = pachy("inspect", "file", "images@master:/a.png", "--json").documents[0]
    assert (document["size"], document["type"], len(document["hash"])) == (100, "file", 64)
    assert "Files:" in pachy("inspect", "file", "images@master:/2024").out


def test_several_sources_are_one_commit(pachy, images: Path) -> None:
    pachy("put", "file", "images@master:/new/", "-f", str(images / "a.png"), "-f", str(images / "2024" / "b.png"))
    assert len(pachy("list", "commit", "images@master").rows) == 2
    assert [row[0] for row in pachy("list", "file", "images@master:/new").rows] == ["/new/a.png", "/new/b.png"]


def test_all_sources_or_none(pachy, images: Path) -> None:
    refused = pachy("put", "file", "images@master:/", "-f", str(images / "a.png"), "-f", "nope.png", fails=True)
    assert "no file or directory nope.png" in refused.err
    assert len(pachy("list", "commit", "images@master").rows) == 1


def test_sources_from_a_list(pachy, images: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"# two\n{images / 'a.png'}\n{images / '2024' / 'b.png'}\n")
    pachy("put", "file", "images@x:/", "-i", str(tmp_path / "list.txt"))
    assert [row[0] for row in pachy("list", "file", "images@x").rows] == ["/a.png", "/b.png"]


def test_standard_input_and_append(pachy, images: Path) -> None:
    pachy("put", "file", "images@master:/log.txt", "-f", "-", stdin=b"one\n")
    pachy("put", "file", "images@master:/log.txt", "-a", "-f", "-", stdin=b"two\n")
    assert pachy("get", "file", "images@master:/log.txt").out == "one\ntwo\n"
    pachy("put", "file", "images@master:/log.txt", "-f", "-", stdin=b"three\n")
    assert pachy("get", "file", "images@master:/log.txt").out == "three\n"


def test_a_file_url(pachy, images: Path) -> None:
    pachy("put", "file", "images@master:/", "-f", (images / "2024" / "b.png").as_uri())
    assert pachy("get", "file", "images@master:/b.png").out == "b" * 3000


def test_large_files_keep_their_content_and_mode(pachy, images: Path, tmp_path: Path) -> None:
    source = tmp_path / "large.sh"
    source.write_bytes(b"0123456789abcdef" * (9 << 16))
    source.chmod(0o755)
    pachy("put", "file", "images@master:/", "-f", str(source))
    pachy("get", "file", "images@master:/large.sh", "-o", str(tmp_path / "copy.sh"))
    assert (tmp_path / "copy.sh").read_bytes() == source.read_bytes()
    assert (tmp_path / "copy.sh").stat().st_mode & 0o100


def test_reading_all_files_is_asked_for_with_directories_only(pachy, images: Path) -> None:
    folder = images / "all"
    folder.mkdir()
    (folder / "one").write_text("one")
    assert pachy("put", "file", "images@master:/all", "-r", "-f", str(folder), "--read-all").code == 0
    refused = pachy("put", "file", "images@master:/one", "-f", str(folder / "one"), "--read-all", fails=True)
    assert refused.code == 2
    assert "only with -r" in refused.err


def test_put_without_sources_is_wrong_usage(pachy, images: Path) -> None:
    refused = pachy("put", "file", "images@master:/", fails=True)
    assert refused.code == 2
    assert "nothing to put" in refused.err


def test_get_writes_to_a_file_or_into_a_directory(pachy, images: Path, tmp_path: Path) -> None:
    pachy("get", "file", "images@master:/a.png", "-o", "copy.png")
    (tmp_path / "out").mkdir()
    pachy("get", "file", "images@master:/a.png", "-o", "out")
    assert (tmp_path / "copy.png").read_bytes() == (tmp_path / "out" / "a.png").read_bytes() == b"a" * 100
    assert "make it first" in pachy("get", "file", "images@master:/a.png", "-o", "nowhere/x", fails=True).err


def test_get_leaves_no_partial_file(pachy, images: Path, tmp_path: Path, airflow_home: Path) -> None:
    pachy("put", "file", "images@master:/c", "-f", "-", stdin=b"c" * 5000)
    for pack in (airflow_home / "pachy" / "objects" / "packs").rglob("*"):
        if pack.is_file():
            pack.chmod(0o600)
            pack.write_bytes(b"x" * pack.stat().st_size)
    pachy("get", "file", "images@master:/c", "-o", "c", fails=True)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_get_a_directory(pachy, images: Path, tmp_path: Path) -> None:
    pachy("get", "file", "images@master:/", "-r", "-o", "all")
    assert (tmp_path / "all" / "2024" / "b.png").read_bytes() == b"b" * 3000
    refused = pachy("get", "file", "images@master:/2024", fails=True)
    assert "is a directory; download it with -r" in refused.err


def test_diff_marks_what_was_added_changed_and_removed(pachy, images: Path) -> None:
    pachy("start", "commit", "images@master")
    pachy("put", "file", "images@master:/a.png", "-f", "-", stdin=b"new")
    pachy("put", "file", "images@master:/c.png", "-f", "-", stdin=b"c")
    pachy("delete", "file", "images@master:/2024")
    pachy("finish", "commit", "images@master")
    assert pachy("diff", "file", "images@master").rows == [
        ["-", "/2024/b.png", "-", "2.93 KiB"],
        ["~", "/a.png", "3 B", "100 B"],
        ["+", "/c.png", "1 B", "-"],
    ]
    assert [row[0] for row in pachy("diff", "file", "images@master^", "images@master").rows] == ["+", "~", "-"]
    assert pachy("diff", "file", "images@master", "images@master").rows == []


def test_copy_and_delete(pachy, images: Path) -> None:
    pachy("copy", "file", "images@master:/2024", "images@master:/2025")
    assert pachy("get", "file", "images@master:/2025/b.png").out == "b" * 3000
    pachy("delete", "file", "images@master:/202*")
    assert [row[0] for row in pachy("list", "file", "images@master").rows] == ["/a.png"]


@pytest.mark.parametrize("path", ["/nope.png", "/*.jpg"])
def test_deleting_nothing_is_an_error(pachy, images: Path, path: str) -> None:
    refused = pachy("delete", "file", f"images@master:{path}", fails=True)
    assert path in refused.err
    assert len(pachy("list", "commit", "images@master").rows) == 1


def test_strange_names_come_back_as_they_were(pachy, images: Path) -> None:
    name = "/[x] * ü\n😀.txt"
    pachy("put", "file", f"images@master:{name}", "-f", "-", stdin=b"1")
    assert name in [d["path"] for d in pachy("list", "file", "images@master", "--json").documents]
    assert pachy("get", "file", f"images@master:{name}").out == "1"
