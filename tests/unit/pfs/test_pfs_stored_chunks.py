"""Chunks that are stored already are found and offered alike with and without SQLAlchemy."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from airflow_pachy.metadata.database import Metadata
from airflow_pachy.metadata.deferred import open_metadata
from airflow_pachy.pfs import stored_chunks
from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.stored_chunks import StoredChunks
from airflow_pachy.pfs.tree.entries import Segment

EARLY, LATE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 1, 3, 3, 4, 5, 6, tzinfo=UTC)
PLACES = {hash_bytes(b"%d" % number): Segment(f"packs/aa/{number}", number, 1 << 20) for number in range(1100)}
KNOWN = list(PLACES)[:600]


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path}/metadata.db"
    open_metadata(url).close()
    return url


def open_plain(url):
    metadata = open_metadata(url)
    assert metadata.glance is not None
    return metadata


def open_session(url):
    metadata = Metadata.open(url)
    assert metadata.glance is None
    return metadata


OPENERS = pytest.mark.parametrize("opened", [open_plain, open_session])


def rows(url):
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return connection.execute("SELECT * FROM pachy_object ORDER BY hash").fetchall()


def offer(metadata, places):
    StoredChunks(metadata).offer(places)


@OPENERS
def test_what_was_offered_is_found_and_is_then_in_use(url, opened, monkeypatch):
    metadata = opened(url)
    monkeypatch.setattr(stored_chunks, "utc_now", lambda: EARLY)
    assert StoredChunks(metadata).find(list(PLACES)) == {}
    offer(metadata, {digest: PLACES[digest] for digest in KNOWN})
    monkeypatch.setattr(stored_chunks, "utc_now", lambda: LATE)
    asked = list(PLACES)[300:]
    assert StoredChunks(metadata).find(asked) == {digest: PLACES[digest] for digest in KNOWN[300:]}
    assert StoredChunks(metadata).find([]) == {}
    used = {key: time for key, *_, time in rows(url)}
    assert {used[digest.hex()] for digest in KNOWN[:300]} == {"2026-01-02 03:04:05.000000"}
    assert {used[digest.hex()] for digest in KNOWN[300:]} == {"2026-01-03 03:04:05.000006"}
    assert (metadata.glance is None) == (opened is open_session), "nothing needed SQLAlchemy that had it not"
    metadata.close()


@OPENERS
def test_who_offers_second_changes_nothing(url, opened):
    metadata = opened(url)
    offer(metadata, {KNOWN[0]: PLACES[KNOWN[0]]})
    before = rows(url)
    offer(metadata, {KNOWN[0]: PLACES[KNOWN[1]]})
    assert rows(url) == before
    metadata.close()


def test_both_write_the_same_rows(url, tmp_path, monkeypatch):
    monkeypatch.setattr(stored_chunks, "utc_now", lambda: LATE)
    other = f"sqlite:///{tmp_path}/other.db"
    open_metadata(other).close()
    for opened, place in ((open_plain, url), (open_session, other)):
        metadata = opened(place)
        offer(metadata, PLACES)
        metadata.close()
    assert rows(url) == rows(other)
    assert len(rows(url)) == len(PLACES)


def test_what_cannot_be_asked_plainly_is_asked_in_a_session(url, monkeypatch):
    monkeypatch.setattr(stored_chunks.plain_objects, "COLUMNS", ())
    monkeypatch.setattr(stored_chunks.plain_objects, "_INSERT", "INSERT INTO nowhere VALUES (1)")
    monkeypatch.setattr(stored_chunks.plain_objects, "_among", lambda _: "no such column")
    metadata = open_plain(url)
    offer(metadata, {KNOWN[0]: PLACES[KNOWN[0]]})
    assert metadata.glance is None
    assert StoredChunks(metadata).find([KNOWN[0]]) == {KNOWN[0]: PLACES[KNOWN[0]]}
    metadata.close()
    metadata = open_plain(url)
    assert StoredChunks(metadata).find([KNOWN[0]]) == {KNOWN[0]: PLACES[KNOWN[0]]}
    assert metadata.glance is None
    metadata.close()
