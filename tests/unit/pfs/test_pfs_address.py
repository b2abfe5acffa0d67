"""Addresses, names and paths."""

from __future__ import annotations

import pytest

from airflow_pachy.errors import InvalidAddress, InvalidName, InvalidPath
from airflow_pachy.pfs.address import Address, parse_address, parse_branch
from airflow_pachy.pfs.names import check_branch_name, check_repo_name, did_you_mean
from airflow_pachy.pfs.paths import below, clean_file_path, clean_path, join_path, shown_path

COMMIT = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("images", Address("images")),
        ("images:/a", Address("images", path="a")),
        ("images@master", Address("images", "master")),
        (f"images@{COMMIT}", Address("images", COMMIT)),
        ("images@master:/", Address("images", "master", path="")),
        ("images@master:", Address("images", "master", path="")),
        ("images@master:a/b/", Address("images", "master", path="a/b")),
        ("images@master^", Address("images", "master", 1)),
        ("images@master~", Address("images", "master", 1)),
        ("images@master^^^", Address("images", "master", 3)),
        ("images@master~~", Address("images", "master", 2)),
        ("images@master^2:/2024/a.png", Address("images", "master", 2, "2024/a.png")),
        (f"images@{COMMIT}~3", Address("images", COMMIT, 3)),
        ("images@master.1", Address("images", "master", -1)),
        ("images@foo.1000000", Address("images", "foo", -1000000)),
        ("images@foo.-1000000", Address("images", "foo", 1000000)),
        ("images@foo^-0", Address("images", "foo", 0)),
        ("images@m:/odd:name@here^2[*]", Address("images", "m", 0, "odd:name@here^2[*]")),
    ],
)
def test_addresses_are_read(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "@", "@master", "images@", ":/a", "images@master^~", "images@master^2~1", "images@^", "images@master^x"],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises((InvalidAddress, InvalidName)):
        parse_address(text)


@pytest.mark.parametrize("text", ["images@master", f"images@{COMMIT}^2:/a/b", "images@master.3:/"])
def test_addresses_are_written_as_they_are_read(text):
    assert str(parse_address(text)) == text


@pytest.mark.parametrize("text", ["images@master^", "images@master:/a", f"images@{COMMIT}"])
def test_a_branch_is_nothing_more(text):
    with pytest.raises(InvalidAddress, match="branch"):
        parse_branch(text)


@pytest.mark.parametrize("name", ["lenny", "lenny123", "lenny_123", "lenny-123", "5bar", "foo2"])
def test_names_that_are_allowed(name):
    assert check_repo_name(name) == check_branch_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "/repo", "lenny.123", "lenny:", "lenny,", "lenny#", "foo+", "foo^3", "^^", ">.<", " "]
)
def test_names_that_are_not_allowed(name):
    with pytest.raises(InvalidName, match="not allowed"):
        check_repo_name(name)
    with pytest.raises(InvalidName):
        check_branch_name(name)


def test_a_name_may_not_be_too_long():
    with pytest.raises(InvalidName, match="129 characters"):
        check_repo_name("x" * 129)


@pytest.mark.parametrize("name", [COMMIT, COMMIT.upper()])
def test_a_branch_may_not_look_like_a_commit(name):
    assert check_repo_name(name)
    with pytest.raises(InvalidName, match="commit id"):
        check_branch_name(name)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("/", ""),
        ("", ""),
        ("/a", "a"),
        ("a/", "a"),
        ("/a/b c/ü.png", "a/b c/ü.png"),
        ("/[x]*{y}?", "[x]*{y}?"),
        ("/...", "..."),
    ],
)
def test_paths_are_kept_without_slashes_at_their_ends(written, kept):
    assert clean_path(written) == kept


@pytest.mark.parametrize("path", ["/a\0b", "/.", "/..", "/a/../b", "/a/./b", "//a", "/a//b", "/a//", "\udcff"])
def test_paths_that_could_not_be_files_are_refused(path):
    with pytest.raises(InvalidPath):
        clean_path(path)


@pytest.mark.parametrize("path", ["", "/", "/a/"])
def test_a_file_needs_a_file_name(path):
    with pytest.raises(InvalidPath):
        clean_file_path(path)


def test_paths_are_shown_with_slashes():
    assert [shown_path("a"), shown_path("a", directory=True), shown_path("", directory=True)] == ["/a", "/a/", "/"]
    assert [join_path("", "a"), join_path("d", "a"), join_path("d", "")] == ["a", "d/a", "d"]
    assert [below("d/a", "d"), below("d/a", ""), below("d", "d")] == ["a", "d/a", ""]


def test_near_names_are_offered():
    assert did_you_mean("imges", ["images", "edges"]) == " Did you mean 'images'?"
    assert did_you_mean("zzz", ["images", "edges"]) == ""


def test_a_branch_that_looks_like_a_commit_is_refused_for_that():
    with pytest.raises(InvalidAddress, match=r"32 hex digits.*here a branch is meant, as in images@"):
        parse_branch(f"images@{'0123456789abcdef' * 2}")
