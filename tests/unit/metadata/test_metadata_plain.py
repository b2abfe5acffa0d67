"""Commits without SQLAlchemy: what they write is what a session writes, and all that is not plain goes to a session."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_pachy.errors import InvalidName, MetadataUnavailable, RepoNotFound
from airflow_pachy.metadata import plain
from airflow_pachy.metadata.glance import Glance
from airflow_pachy.pfs import Pfs

TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d{6}(\+00:00)?")


@pytest.fixture
def places(tmp_path):
    return f"file://{tmp_path}/objects", f"sqlite:///{tmp_path}/metadata.db"


@pytest.fixture
def database(tmp_path):
    return tmp_path / "metadata.db"


@pytest.fixture
def repo(places, database):
    """A repo with one commit on master; the client that made it is closed, so the next one begins with a glance."""
    with Pfs.open(*places) as pfs:
        pfs.create_repo("r")
        pfs.put_file("r@master:/a", b"1")
    return database


def rows(database):
    """All rows of our tables, with times, ids and names of objects as what they are instead of which."""
    ids: dict[str, str] = {}

    def told(value):
        if not isinstance(value, str):
            return value
        value = TIME.sub(lambda found: f"time{len(found[0])}", value)
        for one in re.findall(r"\b[0-9a-f]{32}\b|\b[0-9A-HJKMNP-TV-Z]{26}\b", value):
            ids.setdefault(one, f"id{len(ids)}")
            value = value.replace(one, ids[one])
        return value

    with closing(sqlite3.connect(database)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = {name: connection.execute(f"SELECT * FROM {name} ORDER BY rowid").fetchall() for name in names}
    return {name: [tuple(map(told, row)) for row in found] for name, found in sorted(tables.items())}, ids


def copies(root, ids):
    """The JSON objects of the bucket, with the same names as `rows` gives."""

    def told(text):
        text = TIME.sub("time", text)
        for one, name in ids.items():
            text = text.replace(one, name)
        return text

    found = [one for one in Path(root).rglob("*.json") if one.name != "format.json"]
    return {
        told(re.sub(r"/[0-9a-z]{2}/", "/", str(one.relative_to(root)))): json.loads(told(one.read_text()))
        for one in found
    }


def test_what_is_written_is_what_a_session_writes(tmp_path):
    local = tmp_path / "local"
    local.mkdir()
    (local / "x").write_bytes(b"x" * 1000)
    calls = [
        lambda pfs: pfs.put_file("r@master:/a", b"1"),
        lambda pfs: pfs.put_file("r@master:/b", b"2" * 1000, labels={"kind": "ünï", "by": '"us"'}),
        lambda pfs: pfs.put_dir("r@master:/d", local),
        lambda pfs: pfs.put_file("r@Other-1:/a", b"3", append=True),
        lambda pfs: pfs.delete_file("r@master:/a"),
        lambda pfs: pfs.copy_file("r@master:/b", "r@other:/c"),
    ]
    outcomes = []
    for way in ("plain", "session"):
        storage, database = tmp_path / way / "objects", tmp_path / way / "metadata.db"
        places = (f"file://{storage}", f"sqlite:///{database}")
        database.parent.mkdir()
        with Pfs.open(*places) as pfs:
            pfs.create_repo("r")
        for call in calls:
            with Pfs.open(*places) as pfs:
                if way == "session":
                    assert pfs.metadata.engine is not None  # opened: the glance is over
                call(pfs)
                assert (pfs.metadata.glance is not None) == (way == "plain")
        found, ids = rows(database)
        outcomes.append((found, copies(storage, ids)))
    assert len(outcomes[0][0]["pachy_commit"]) == len(calls)
    assert outcomes[0][0] == outcomes[1][0]
    assert outcomes[0][1] == outcomes[1][1]
    assert any("branches" in key for key in outcomes[0][1])


def _plain(database, branch="master"):
    with closing(Glance(str(database))) as glance:
        return plain.plain_head(glance, "r", branch)


def test_a_plain_head_is_what_a_commit_is_built_on(repo, places):
    with Pfs.open(*places) as pfs:
        head = pfs.inspect_commit("r@master")
    assert _plain(repo) == plain.PlainHead("r", "master", head.id, 1, head.tree)
    assert _plain(repo, "new") == plain.PlainHead("r", "new", None, 0, None)


def _computed(pfs):
    pfs.create_repo("up")
    pfs.create_branch("up@master")
    pfs.create_branch("r@master", provenance=["up@master"])


@pytest.mark.parametrize(
    ("prepare", "branch"),
    [
        (lambda pfs: pfs.start_commit("r@master"), "master"),
        (lambda pfs: pfs.create_branch("r@follower", trigger={"branch": "master", "commits": 5}), "master"),
        (lambda pfs: pfs.create_branch("r@follower", trigger={"branch": "new", "commits": 5}), "new"),
        (_computed, "master"),
        (lambda pfs: pfs.create_branch("r@empty"), "empty"),
        (lambda pfs: pfs.tag_commit("r@master", "v1"), "new"),
        (lambda pfs: pfs.delete_repo("r", force=True), "master"),
        (lambda pfs: pfs.delete_repo("r", force=True), "new"),
    ],
)
def test_what_is_not_plain_is_left_to_a_session(prepare, branch, repo, places):
    with Pfs.open(*places) as pfs:
        prepare(pfs)
    assert _plain(repo, branch) is None


def test_a_follower_moves_with_a_commit_of_a_fresh_client(repo, places):
    with Pfs.open(*places) as pfs:
        pfs.create_branch("r@follower", trigger={"branch": "master", "commits": 1})
    with Pfs.open(*places) as pfs:
        pfs.put_file("r@master:/b", b"2")
        assert pfs.inspect_branch("r@follower").head == pfs.inspect_branch("r@master").head


def _commit(number):
    now = datetime.now(UTC)
    return {
        "id": f"{number:032x}",
        "repo": "r",
        "branch": "master",
        "state": "finished",
        "size_bytes": 0,
        "file_count": 0,
        "started": now,
        "description": "",
        "origin": "user",
        "author": None,
    }


@pytest.mark.parametrize(
    "meanwhile",
    [
        "UPDATE pachy_branch SET ordinal = ordinal + 1",
        f"UPDATE pachy_branch SET open_commit = '{'e' * 32}'",
        "UPDATE pachy_branch SET \"trigger\" = '{}'",
        "DELETE FROM pachy_branch",
        "DROP TABLE pachy_head_move",
        "ALTER TABLE pachy_commit RENAME COLUMN origin TO source",
    ],
)
def test_nothing_is_done_if_it_is_plain_no_longer(meanwhile, repo):
    with closing(Glance(str(repo))) as glance:
        head = plain.plain_head(glance, "r", "master")
        with closing(sqlite3.connect(repo)) as connection:
            connection.execute(meanwhile)
            connection.commit()
        before, _ = rows(repo)
        assert not plain.publish(glance, head, _commit(1), lambda row: None)
        assert rows(repo)[0] == before


def test_a_branch_that_somebody_made_first_is_not_made_again(repo):
    with closing(Glance(str(repo))) as glance:
        start = plain.plain_head(glance, "r", "new")
        assert plain.publish(glance, start, {**_commit(1), "branch": "new"}, lambda row: None)
        before, _ = rows(repo)
        assert not plain.publish(glance, start, {**_commit(2), "branch": "new"}, lambda row: None)
        assert rows(repo)[0] == before


def test_a_branch_whose_copy_cannot_be_written_is_not_made(repo):
    def refuse(row):
        raise MetadataUnavailable(str(row["name"]))

    before, _ = rows(repo)
    with closing(Glance(str(repo))) as glance:
        start = plain.plain_head(glance, "r", "new")
        with pytest.raises(MetadataUnavailable, match="new"):
            plain.publish(glance, start, _commit(1), refuse)
        assert rows(repo)[0] == before
        assert plain.publish(glance, start, _commit(1), lambda row: None)  # the connection is of use


def test_a_writer_who_was_overtaken_comes_after_the_other_one(repo, places, monkeypatch):
    publish = plain.publish

    def overtaken(*args):
        monkeypatch.setattr(plain, "publish", publish)
        with Pfs.open(*places) as other:
            other.put_file("r@master:/theirs", b"2")
        return publish(*args)

    monkeypatch.setattr(plain, "publish", overtaken)
    with Pfs.open(*places) as pfs:
        pfs.put_file("r@master:/ours", b"3")
        assert [one.path for one in pfs.list_file("r@master:/")] == ["/a", "/ours", "/theirs"]
        assert [one.ordinal for one in pfs.list_commits("r@master")] == [3, 2, 1]


@pytest.mark.parametrize("address", ["nope@master:/x", "nope@new:/x"])
def test_errors_are_those_of_a_session(address, repo, places):
    with Pfs.open(*places) as pfs, pytest.raises(RepoNotFound, match="nope"):
        pfs.put_file(address, b"1")


def test_a_branch_gets_no_name_that_it_may_not_have(repo, places):
    with Pfs.open(*places) as pfs, pytest.raises(InvalidName):
        pfs.put_file(f"r@{'b' * 200}:/x", b"1")
