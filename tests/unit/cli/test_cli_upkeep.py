"""`pachy gc|fsck|extract|restore` and retention."""

from __future__ import annotations

import pytest


def test_collecting_is_told_first_and_done_on_demand(pachy, images):
    pachy("drop", "commit", "images@master")
    told = pachy("gc", "--grace", "0")
    assert told.lines[0].split() == ["REPO", "KIND", "FATE", "OBJECTS", "SIZE"]
    assert "images  packs" in told.out
    assert "Would delete" in told.lines[-1]
    assert pachy("gc", "--grace", "0").out == told.out
    assert "Deleted" in pachy("gc", "--grace", "0", "--delete").out
    assert "Would delete 0 objects" in pachy("gc", "--grace", "0").out


def test_the_report_as_json(pachy, images):
    (report,) = pachy("gc", "--json").documents
    assert report["dry_run"] is True
    assert {one["kind"] for one in report["usage"]} >= {"packs", "nodes", "commits", "refs"}


@pytest.mark.parametrize("grace", ["7w", "", "-1d", "soon"])
def test_a_grace_that_is_no_time(pachy, grace):
    assert "no duration" in pachy("gc", "--grace", grace, fails=True).err


def test_retention(pachy, images):
    assert "for ever" in pachy("inspect", "retention", "images").out
    pachy("update", "retention", "images", "--keep-last", "1")
    assert pachy("inspect", "retention", "images").rows == []
    (found,) = pachy("inspect", "retention", "images", "--json").documents
    assert found == {"keep_last": 1, "keep_days": None}
    pachy("put", "file", "images@master:/x", "-f", "-", stdin=b"x" * 1000)
    assert "Would forget the data of 1 commits" in pachy("gc").out
    assert "Forgot the data of 1 commits" in pachy("gc", "--delete", "--grace", "0").out
    assert pachy("get", "file", "images@master:/x").out == "x" * 1000


def test_a_sound_root(pachy, images):
    assert pachy("fsck", "--deep").out == "No problems found.\n"
    assert pachy("fsck", "--json").out == ""


def test_a_problem_is_a_line_and_a_status(pachy, images, airflow_home):
    (copy,) = airflow_home.rglob("refs/repos/images.json")
    copy.unlink()
    found = pachy("fsck", fails=True)
    assert found.code == 1
    assert "refs/repos/images.json: repos images has no copy in the bucket; --fix writes it" in found.out
    assert pachy("fsck", "--fix").lines[0].startswith("fixed: ")
    assert copy.exists()


def test_the_database_is_rebuilt(pachy, images, tmp_path):
    before = pachy("list", "commit", "images@master", "--json").out
    new = f"sqlite:///{tmp_path / 'new.db'}"
    assert "Rebuilt the database with 1 repos" in pachy("--metadata", new, "fsck", "--rebuild").err
    assert pachy("--metadata", new, "list", "commit", "images@master", "--json").out == before
    assert "is not empty" in pachy("fsck", "--rebuild", fails=True).err
    assert "--rebuild goes with no other" in pachy("fsck", "--rebuild", "--fix", fails=True).err


def test_there_and_back(pachy, images, tmp_path):
    pachy("extract", "root.tar")
    options = ("--storage", (tmp_path / "other").as_uri(), "--metadata", f"sqlite:///{tmp_path / 'other.db'}")
    assert "Checksum" in pachy(*options, "restore", "root.tar").out
    assert pachy(*options, "get", "file", "images@master:/a.png").out == "a" * 100
    assert "not empty" in pachy("restore", "root.tar", fails=True).err
    assert "exists already" in pachy("extract", "root.tar", fails=True).err
