import contextlib
from datetime import UTC, datetime

import pytest

from airflow_pachy.errors import Corrupt, ObjectExists, StoreUnavailable
from airflow_pachy.pfs.objects.store import ObjectInfo
from airflow_pachy.pfs.tree.entries import Content, Entry, Segment
from airflow_pachy.worker.records import DatumResult, ResultWriter, decode_results, encode_results, read_results


class DictStore:
    """The three calls that records need, on a dict."""

    url = "dict://"

    def __init__(self):
        self.objects: dict[str, bytes] = {}

    def get(self, key, *, offset=0, length=None):
        return self.objects[key]

    def put(self, key, body, *, if_absent=False):
        if if_absent and key in self.objects:
            raise ObjectExists(key)
        self.objects[key] = bytes(body)

    def list_keys(self, prefix="", *, after=None):
        for key in sorted(self.objects):
            if key.startswith(prefix) and (after is None or key > after):
                yield ObjectInfo(key, len(self.objects[key]), datetime.now(UTC))


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def result(datum: str, size: int = 1000) -> DatumResult:
    inline = Entry("small.txt", Content(b"i" * 32, 2, (), b"hi"), mtime_us=7, datum=datum)
    chunks = (Segment("packs/aa/x", 5, size - 1, b"1" * 32), Segment("packs/aa/y", 0, 1, b"2" * 32))
    chunked = Entry("big/日本.bin", Content(b"h" * 32, size, chunks), executable=True, datum=datum)
    whole = Entry("mid", Content(b"m" * 32, 700, (Segment("packs/aa/z", 1, 700),)), datum=datum)
    return DatumResult(datum, "success", outputs=(chunked, whole, inline), started_us=1, upload_bytes=size)


def test_results_survive_the_round_trip():
    failed = DatumResult("f", "failed", 3, None, "never started", "last\nlines")
    results = [result("a"), failed, DatumResult("r", "recovered", 2, 1)]
    assert decode_results(encode_results(results)) == results
    assert decode_results(encode_results([])) == []


def test_rubbish_is_corrupt_and_names_the_key():
    with pytest.raises(Corrupt, match=r"jobs/j/s/a/000000\.parquet"):
        decode_results(b"not parquet", key="jobs/j/s/a/000000.parquet")


def test_nothing_is_written_before_a_limit_or_the_end():
    store = DictStore()
    with ResultWriter(store, "jobs/j/s/a", clock=Clock()) as writer:
        writer.add(result("a"))
        assert store.objects == {}
    assert list(store.objects) == ["jobs/j/s/a/000000.parquet"]


def test_an_empty_set_writes_nothing():
    store = DictStore()
    with ResultWriter(store, "jobs/j/s/a"):
        pass
    assert store.objects == {}


def test_flush_by_count_by_bytes_and_by_age():
    store, clock = DictStore(), Clock()
    writer = ResultWriter(store, "p", max_datums=2, max_bytes=10_000, max_seconds=30, clock=clock)
    writer.add(result("a"))
    writer.add(result("b"))
    assert len(store.objects) == 1
    writer.add(result("c", size=20_000))
    assert len(store.objects) == 2
    writer.add(result("d"))
    clock.now += 29
    writer.flush_if_due()
    assert len(store.objects) == 2
    clock.now += 1
    writer.flush_if_due()
    assert len(store.objects) == 3


def test_content_is_made_durable_before_the_record():
    store, seen = DictStore(), []
    with ResultWriter(store, "p", before_flush=lambda: seen.append(len(store.objects))) as writer:
        writer.add(result("a"))
    assert seen == [0]


def test_a_failed_flush_of_content_writes_no_record_and_can_be_repeated():
    store, fail = DictStore(), [True]

    def flush():
        if fail[0]:
            raise StoreUnavailable("bucket gone")

    writer = ResultWriter(store, "p", before_flush=flush)
    writer.add(result("a"))
    with pytest.raises(StoreUnavailable):
        writer.flush()
    assert store.objects == {}
    fail[0] = False
    writer.flush()
    assert len(store.objects) == 1


def test_an_exception_abandons_what_is_pending():
    store = DictStore()
    with contextlib.suppress(RuntimeError), ResultWriter(store, "p") as writer:
        writer.add(result("a"))
        raise RuntimeError
    assert store.objects == {}


def test_a_second_life_of_an_attempt_never_overwrites():
    store = DictStore()
    for name in ("a", "b"):
        with ResultWriter(store, "jobs/j/s/pod-1") as writer:
            writer.add(result(name))
    assert [r.datum for r in read_results(store, "j", ["s"])] == ["a", "b"]


def test_results_are_read_in_set_attempt_sequence_order():
    store = DictStore()
    for attempt, datums in (("0002-x", "cd"), ("0001-y", "ab")):
        with ResultWriter(store, f"jobs/j/s/{attempt}", max_datums=1) as writer:
            for datum in datums:
                writer.add(result(datum))
    with ResultWriter(store, "jobs/j/s2/0001-x") as writer:
        writer.add(result("e"))
    assert [r.datum for r in read_results(store, "j", ["s", "s2", "missing"])] == list("abcde")
