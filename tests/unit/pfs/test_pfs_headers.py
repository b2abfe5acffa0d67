"""Headers and footers of directories: around each piece, once over many, and part of what makes a datum new."""

from __future__ import annotations

import io

import pytest

from airflow_pachy.errors import InvalidArgument, PathNotFound
from airflow_pachy.pfs.headers import Frame, Frames, is_framed
from airflow_pachy.pfs.overlay import rebase
from airflow_pachy.pfs.tree import Tree
from airflow_pachy.pfs.tree.entries import Put


def piece(pfs, number=0, directory="d", commit="images@master"):
    return pfs.get_file(f"{commit}:/{directory}/{number:016x}")


def together(pfs, pattern, commit="images@master"):
    return b"".join(pfs.get_files(commit, pattern))


@pytest.fixture
def people(images):
    images.put_split("images@master:/d", "a\nb\n", header="head\n", footer="foot\n")
    return images


def test_a_piece_comes_with_both(people):
    assert piece(people, 1) == b"head\nb\nfoot\n"
    assert people.inspect_file("images@master:/d/0000000000000000").size == len(b"head\na\nfoot\n")
    assert people.get_file("images@master:/d/0000000000000000", 3, 4) == b"d\na\n"
    with people.open_file("images@master:/d/0000000000000000") as file:
        file.seek(-5, io.SEEK_END)
        assert file.read() == b"foot\n"


def test_many_pieces_come_with_one(people):
    assert together(people, "/d/*") == together(people, "/d") == together(people, "/**") == b"head\na\nb\nfoot\n"


def test_several_directories_come_each_with_their_own(people):
    people.put_split("images@master:/e", "c\n", header="other\n")
    people.put_file("images@master:/m", b"plain\n")
    assert together(people, "/**") == b"head\na\nb\nfoot\nother\nc\nplain\n"


def test_nested_frames_compose(images):
    images.put_split("images@master:/a", "1\n", header="A{", footer="}A")
    images.put_split("images@master:/a/b", "2\n", header="B{", footer="}B")
    images.put_split("images@master:/a/b/c", "3\n", header="C{", footer="}C")
    images.put_split("images@master:/a/d", "4\n")
    assert piece(images, directory="a/b/c") == b"A{B{C{3\n}C}B}A"
    assert piece(images, directory="a/d") == b"A{4\n}A"
    assert together(images, "/**") == b"A{1\nB{2\nC{3\n}C}B4\n}A"
    assert together(images, "/a/b/*") == b"A{B{2\nC{3\n}C}B}A"
    images.put_header("images@master:/a", "a:")
    assert piece(images, directory="a/b/c") == b"a:B{C{3\n}C}B}A"
    images.put_footer("images@master:/a/b", "")
    assert together(images, "/**") == b"a:1\nB{2\nC{3\n}C4\n}A"


def test_a_header_can_come_before_the_pieces(images):
    images.put_header("images@master:/d", "head\n")
    assert images.get_header("images@master:/d") == b"head\n"
    assert [info.path for info in images.walk_file("images@master:/")] == ["/"]
    images.put_split("images@master:/d", "a\n")
    assert piece(images) == b"head\na\n"


def test_in_a_later_commit_a_new_header_keeps_the_footer(people):
    people.put_split("images@master:/d", "", header="new\n")
    assert together(people, "/d") == b"new\na\nb\nfoot\n"
    people.put_split("images@master:/d", "", footer="end\n")
    assert together(people, "/d") == b"new\na\nb\nend\n"


def test_in_one_commit_a_new_header_without_a_footer_takes_that_of_before(people):
    with people.commit("images@master") as commit:
        commit.put_split("/d", "c\n", header="1\n", footer="1\n")
        commit.put_split("/d", "d\n", header="2\n")
        commit.put_split("/e", "x\n", header="1\n", footer="1\n")
        commit.put_split("/e", "y\n", header="2\n")
    assert together(people, "/d") == b"2\na\nb\nc\nd\nfoot\n"
    assert together(people, "/e") == b"2\nx\ny\n"


def test_what_a_commit_has_cleared_does_not_come_back_in_it(people):
    with people.commit("images@master") as commit:
        commit.put_split("/d", "c\n", overwrite=True)
        commit.put_split("/d", "d\n", header="2\n")
    assert together(people, "/d") == b"2\nc\nd\n"


def test_putting_pieces_without_either_keeps_both(people):
    people.put_split("images@master:/d", "c\n")
    assert piece(people, 2) == b"head\nc\nfoot\n"


def test_empty_ones_clear(people):
    people.put_split("images@master:/d", "", header="", footer="")
    assert piece(people) == b"a\n"
    assert together(people, "/d") == b"a\nb\n"
    fresh = Tree(people.store, None).apply(Put(entry) for entry in people.tree("images@master").entries())
    assert people.tree("images@master").root.id == fresh.root.id, "nothing is left of what was cleared"


def test_put_header_leaves_the_footer_and_other_files_alone(people):
    people.put_file("images@master:/d/notes", b"about")
    people.put_header("images@master:/d", b"new\n")
    people.put_footer("images@master:/d", b"end\n")
    assert piece(people) == b"new\na\nend\n"
    assert people.get_file("images@master:/d/notes") == b"about"
    assert (people.get_header("images@master:/d"), people.get_footer("images@master:/d")) == (b"new\n", b"end\n")
    assert together(people, "/d/*") == b"new\na\nb\naboutend\n"


def test_a_new_header_makes_every_piece_a_new_content(people):
    before = {info.path: info.hash for info in people.list_file("images@master:/d")}
    people.put_header("images@master:/d", "new\n")
    after = {info.path: info.hash for info in people.list_file("images@master:/d")}
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    assert [diff.path for diff in people.diff_file("images@master")] == sorted(before)
    people.put_header("images@master:/d", "head\n")
    assert {info.path: info.hash for info in people.list_file("images@master:/d")} == before


def test_the_same_header_again_is_no_commit(people):
    people.put_header("images@master:/d", "head\n")
    people.put_split("images@master:/d", "", header="head\n")
    assert len(list(people.list_commits("images@master"))) == 1


def test_datums_see_the_pieces_whole_and_run_again_for_a_new_header(people):
    from airflow_pachy.pipelines import list_datums

    wanted = {"pfs": {"repo": "images", "glob": "/d/*"}}
    before = {datum.id for datum in list_datums(people, wanted)}
    people.put_header("images@master:/d", "new\n")
    assert len(before) == 2
    assert not before & {datum.id for datum in list_datums(people, wanted)}


def test_a_directory_is_written_whole(people, tmp_path):
    people.get_dir("images@master:/d", tmp_path / "out")
    assert (tmp_path / "out" / "0000000000000001").read_bytes() == b"head\nb\nfoot\n"
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["0000000000000000", "0000000000000001"]


def test_a_piece_that_somebody_replaced_is_left_as_it_is(people):
    people.put_file("images@master:/d/0000000000000000", b"mine\n")
    people.put_header("images@master:/d", "new\n")
    assert piece(people) == b"mine\n"
    assert piece(people, 1) == b"new\nb\nfoot\n"
    assert together(people, "/d") == b"mine\nnew\nb\nfoot\n"


def test_deleting_the_directory_deletes_its_header(people):
    for path in ("/d", "/d/*", "/", "/*"):
        people.create_branch("images@other", head="images@master")
        people.delete_file(f"images@other:{path}")
        assert people.get_header("images@other:/d") == (b"head\n" if path == "/d/*" else b"")
        assert (people.tree("images@other").root is None) is (path != "/d/*")
    people.delete_file("images@master:/d/*")
    people.delete_file("images@master:/d")
    assert people.get_header("images@master:/d") == b""


def test_a_copied_directory_keeps_its_header_and_what_was_around_it(images):
    images.put_split("images@master:/a", "1\n", header="A{", footer="}A")
    images.put_split("images@master:/a/b", "2\n", header="B{", footer="}B")
    images.create_repo("other")
    images.copy_file("images@master:/a/b", "other@master:/x")
    assert (images.get_header("other@master:/x"), images.get_footer("other@master:/x")) == (b"A{B{", b"}B}A")
    images.put_split("other@master:/x", "3\n")
    assert together(images, "/x", "other@master") == b"A{B{2\n3\n}B}A"
    images.copy_file("images@master:/", "other@master:/")
    assert together(images, "/**", "other@master") == together(images, "/**")
    images.put_header("other@master:/a", "")
    assert together(images, "/**", "other@master") == b"1\nB{2\n}B}A"


def test_a_copied_piece_is_an_ordinary_file(people):
    people.copy_file("images@master:/d/0000000000000000", "images@master:/one")
    assert people.get_file("images@master:/one") == b"head\na\nfoot\n"
    people.put_split("images@master:/f", "z\n", header="F\n")
    people.copy_file("images@master:/d", "images@master:/f/d")
    assert people.get_header("images@master:/f/d") == b""
    assert piece(people, directory="f/d") == b"head\na\nfoot\n"


def test_headers_do_not_count_as_files(people):
    info = people.inspect_commit("images@master")
    size = len(b"head\na\nfoot\n") * 2
    assert (info.file_count, info.size_bytes) == (2, size)
    assert [(found.path, found.size, found.file_count) for found in people.glob_file("images@master", "/")] == [
        ("/", size, 2)
    ]
    assert [found.path for found in people.list_file("images@master:/")] == ["/d/"]
    assert [found.path for found in people.list_file("images@master:/", reverse=True)] == ["/d/"]


def test_headers_survive_a_squash(people):
    people.start_commit("images@master")
    people.put_header("images@master:/e", "E\n")
    opened = people.inspect_branch("images@master").open_commit
    people.create_branch("images@side", head=f"images@{people.inspect_branch('images@master').head}")
    people.finish_commit(f"images@{opened}")
    people.put_file("images@master:/x", b"")
    people.squash_commit("images@master^")
    assert people.get_header("images@master:/e") == b"E\n"


def test_a_header_is_carried_over_to_a_branch_that_moved(people):
    base = people.tree("images@master")
    people.create_branch("images@side", head="images@master")
    people.put_header("images@side:/e", "E\n")
    people.put_footer("images@side:/d", "")
    people.put_file("images@master:/x", b"")
    tree, both = rebase(base, people.tree("images@side"), people.tree("images@master"))
    frames = Frames(tree, people.content_reader)
    assert (frames.of("e"), frames.of("d"), both) == (Frame(b"E\n"), Frame(b"head\n"), [])
    assert tree.get("x") is not None


def test_a_large_piece_is_stored_again_only_where_it_changed(images):
    import random

    body = random.Random(1).randbytes(20 << 20)
    images.put_split("images@master:/d", b"\n".join(body.splitlines()) + b"\n", target_file_bytes=1 << 30, header="1\n")
    stored = {segment.object for segment in segments(images)}
    fresh = [segment for segment in segments(images, put_header=b"2\n") if segment.object not in stored]
    assert 0 < sum(segment.length for segment in fresh) < 13 << 20
    body = b"\n".join(body.splitlines()) + b"\n"
    assert piece(images) == b"2\n" + body


def segments(pfs, put_header=None):
    if put_header is not None:
        pfs.put_header("images@master:/d", put_header)
    return pfs.tree("images@master").get("d/0000000000000000").content.segments


def test_bytes_that_are_both_header_and_footer_count_once(people):
    reader = people.content_reader
    people.put_file("images@master:/f", b"abc")
    content = people.tree("images@master").get("f").content
    assert is_framed(content, Frame(b"ab", b"c"), reader)
    assert not is_framed(content, Frame(b"ab", b"bc"), reader)
    assert Frames(people.tree("images@master"), reader).around("d") == Frame(b"head\n", b"foot\n")


def test_what_is_refused(people):
    with pytest.raises(InvalidArgument, match="larger than"):
        people.put_header("images@master:/d", b"x" * ((16 << 20) + 1))
    with pytest.raises(InvalidArgument, match="must be bytes or str, not list"):
        people.put_footer("images@master:/d", [])
    with pytest.raises(PathNotFound, match=r"nothing in images@.* matches '/nowhere/"):
        together(people, "/nowhere/*")


def test_files_without_headers_are_joined_in_path_order(images):
    for name in ("b", "a/2", "a/1", "c"):
        images.put_file(f"images@master:/{name}", name)
    images.put_file("images@master:/d", b"x" * (3 << 20))
    assert together(images, "/{a/*,b,c}") == b"a/1a/2bc"
    assert len(together(images, "/**")) == 8 + (3 << 20)
