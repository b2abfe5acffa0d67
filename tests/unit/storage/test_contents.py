"""Contents come back as they went in, equal chunks are stored once, damage does not pass unnoticed."""

import io
import os
import random
import threading

import pytest

from airflow_pachy.errors import Corrupt, ObjectNotFound, StoreUnavailable
from airflow_pachy.pfs.content import ContentReader, ContentWriter, hash_bytes
from airflow_pachy.pfs.content.chunking import MAX_BYTES, MIN_BYTES, split
from airflow_pachy.pfs.objects import CountingStore, MemoryStore
from airflow_pachy.pfs.tree import Entry
from airflow_pachy.testing.faulty_store import Died, Fault, FaultyStore

SIZES = [0, 1, 511, 512, 513, 4096, MIN_BYTES - 1, MIN_BYTES, MIN_BYTES + 1, MAX_BYTES, MAX_BYTES + 1, 40 << 20]


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def stored_bytes(store):
    return sum(info.size_bytes for info in store.list_keys("packs/"))


def write_many(store):
    with ContentWriter(store, pack_target_bytes=10_000, uploads=1) as writer:
        for seed in range(20):
            writer.write(noise(5000, seed))


@pytest.mark.parametrize("size", SIZES)
def test_round_trip(size, tmp_path):
    data, store = noise(size), MemoryStore()
    (tmp_path / "in").write_bytes(data)
    with ContentWriter(store) as writer:
        content = writer.write(data)
        assert writer.write(io.BytesIO(data)) == content
        assert writer.write(tmp_path / "in") == content
    reader = ContentReader(store)
    assert content.size_bytes == size
    assert (content.inline is not None) == (size <= 512)
    assert stored_bytes(store) == (0 if size <= 512 else size)
    assert reader.read(content) == data
    with reader.open(content) as file:
        assert file.read() == data
    reader.materialise([(Entry("a", content, executable=True, mtime_us=10**15), tmp_path / "d" / "out")])
    out = tmp_path / "d" / "out"
    assert out.read_bytes() == data
    assert os.access(out, os.X_OK)
    assert out.stat().st_mtime_ns == 10**18
    if len(content.segments) <= 1:
        assert content.hash == hash_bytes(data)


@pytest.mark.parametrize("base", [0, 100, 512, 600, MIN_BYTES, 6 << 20, 20 << 20])
@pytest.mark.parametrize("more", [0, 1, 600, 3 << 20])
def test_appending_gives_what_writing_at_once_gives(base, more):
    first, second, store = noise(base), noise(more, 2), MemoryStore()
    reader = ContentReader(store)
    with ContentWriter(store) as writer:
        start = writer.write(first)
        writer.flush()
        joined = writer.append(start, second, reader)
        assert joined == writer.append(start, io.BytesIO(second), reader)
        whole = writer.write(first + second)
    assert (joined.hash, joined.size_bytes) == (whole.hash, base + more)
    assert reader.read(joined) == first + second


def test_ranges_and_seeks():
    data, store = noise(20 << 20), MemoryStore()
    with ContentWriter(store) as writer:
        content = writer.write(data)
    reader = ContentReader(store)
    assert len(content.segments) > 1
    file = reader.open(content)
    for offset in (0, 5, MIN_BYTES, 12 << 20, len(data) - 1, len(data), len(data) + 9):
        for length in (0, 1, 9 << 20, None):
            expected = data[offset:] if length is None else data[offset : offset + length]
            assert reader.read(content, offset, length) == expected
            file.seek(offset)
            assert file.read(length) == expected


def test_an_edit_in_a_large_file_stores_only_the_chunks_it_touches():
    data, store = bytearray(noise(64 << 20)), MemoryStore()
    with ContentWriter(store) as writer:
        writer.write(bytes(data))
        writer.flush()
        before = stored_bytes(store)
        data[30 << 20 : 30 << 20] = b"inserted"
        writer.write(bytes(data))
    assert stored_bytes(store) - before <= 2 * MAX_BYTES + 8


@pytest.mark.parametrize(
    "data", [bytes(40 << 20), b"abcd" * (10 << 20), noise(40 << 20)], ids=["zero", "abcd", "noise"]
)
def test_chunks_keep_their_bounds(data):
    chunks = [len(chunk) for chunk in split(memoryview(data))]
    assert sum(chunks) == len(data)
    assert all(MIN_BYTES <= size <= MAX_BYTES for size in chunks[:-1])
    assert chunks[-1] <= MAX_BYTES


def test_equal_files_are_stored_once_and_known_ones_not_at_all():
    store = MemoryStore()
    data = noise(5000)
    with ContentWriter(store) as writer:
        first = writer.write(data)
        assert writer.write(data) == first
    assert stored_bytes(store) == 5000
    with ContentWriter(store, known={first.hash: first.segments}.get) as writer:
        assert writer.write(data) == first
    assert stored_bytes(store) == 5000


@pytest.mark.parametrize("target", [1_000, 10_000, 100_000])
def test_a_run_of_files_is_what_they_are_one_by_one(target):
    store, files = MemoryStore(), [noise(520 + 13 * number, number % 40) for number in range(50)]
    room = bytearray(b"".join(files))
    with ContentWriter(store, pack_target_bytes=target) as writer:
        lengths, digests = [len(one) for one in files], [hash_bytes(one) for one in files]
        first = sum(lengths[:20])
        objects, offsets = writer.write_run(memoryview(room)[:first], lengths[:20], digests[:20])
        more = writer.write_run(memoryview(room)[first:], lengths[20:], digests[20:])
        places = list(zip(objects + more[0], offsets + more[1], strict=True))
        room[:] = bytes(len(room))  # it is for what comes next
        again = [writer.write(one) for one in files]
    for data, place, content in zip(files, places, again, strict=True):
        assert [(one.object, one.offset, one.length) for one in content.segments] == [(*place, len(data))]
        assert ContentReader(store).read(content) == data
    assert stored_bytes(store) == sum(map(len, set(files)))
    largest = max(info.size_bytes for info in store.list_keys("packs/"))
    assert largest <= max(target, *map(len, files))


def test_equal_files_of_a_run_are_stored_once():
    store, one, other = MemoryStore(), noise(600), noise(700, 2)
    files = [one, other, one, one]
    with ContentWriter(store) as writer:
        data = memoryview(b"".join(files))
        objects, offsets = writer.write_run(data, [len(file) for file in files], [hash_bytes(file) for file in files])
    assert (len(set(objects)), offsets) == (1, [0, 600, 0, 0])
    assert stored_bytes(store) == 1300


def test_small_files_are_packed_and_read_together(tmp_path):
    store = CountingStore(MemoryStore())
    with ContentWriter(store) as writer:
        contents = [writer.write(noise(4096, seed)) for seed in range(1000)]
    assert store.counts.requests["put"] == 1
    told = []
    items = [(Entry(str(number), content), tmp_path / str(number)) for number, content in enumerate(contents)]
    ContentReader(store).materialise(items, progress=lambda *news: told.append(news))
    assert store.counts.requests["get"] == 1
    assert [sum(numbers) for numbers in zip(*told, strict=True)] == [1000, 4096 * 1000]
    assert all((tmp_path / str(seed)).read_bytes() == noise(4096, seed) for seed in range(1000))


def test_materialising_replaces_a_link_instead_of_writing_through_it(tmp_path):
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "out").symlink_to(tmp_path / "victim")
    with ContentWriter(MemoryStore()) as writer:
        content = writer.write(b"new")
    ContentReader(MemoryStore()).materialise([(Entry("out", content), tmp_path / "out")])
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert (tmp_path / "out").read_bytes() == b"new"


@pytest.mark.parametrize("kind", ["damaged", "truncated"])
@pytest.mark.parametrize("size", [5000, 6 << 20])
def test_damage_is_noticed(kind, size, tmp_path):
    store = MemoryStore()
    with ContentWriter(store) as writer:
        content = writer.write(noise(size))
    reader = ContentReader(FaultyStore(store, Fault("get", kind)))
    with pytest.raises(Corrupt, match="restore"):
        reader.read(content)
    with pytest.raises(Corrupt, match="restore"):
        reader.materialise([(Entry("a", content), tmp_path / "a")])


def test_a_pack_that_is_gone_is_named():
    store = MemoryStore()
    with ContentWriter(store) as writer:
        content = writer.write(noise(5000))
    store.delete([content.segments[0].object])
    with pytest.raises(ObjectNotFound, match=content.segments[0].object):
        ContentReader(store).read(content)


def test_a_failed_upload_fails_the_flush():
    writer = ContentWriter(FaultyStore(MemoryStore(), Fault("put", "unavailable")))
    writer.write(noise(5000))
    with pytest.raises(StoreUnavailable):
        writer.flush()
    writer.close()


def test_a_failed_upload_of_an_early_pack_is_not_forgotten():
    store = FaultyStore(MemoryStore(), Fault("put", "unavailable", on=1))
    with pytest.raises(StoreUnavailable):
        write_many(store)


def test_death_midway_leaves_no_content_that_was_promised():
    inner = MemoryStore()
    store = FaultyStore(inner, Fault("put", "dead", on=2))
    with pytest.raises(Died):
        write_many(store)
    assert 0 < stored_bytes(inner) <= 10_000


def test_the_first_packs_do_not_wait_until_they_are_full():
    store = CountingStore(MemoryStore())
    with ContentWriter(store, pack_target_bytes=8_000, uploads=1) as writer:
        writer.write(noise(2_000))
        writer.write(noise(1_000, seed=1))
    assert store.counts.requests["put"] == 2


def test_what_is_sent_is_stored_while_more_is_written():
    store = MemoryStore()
    with ContentWriter(store) as writer:
        first = writer.write(noise(600))
        writer.send()
        writer.send()
        second = writer.write(noise(700, 2))
    assert first.segments[0].object != second.segments[0].object
    assert stored_bytes(store) == 1300


def test_bytes_may_change_once_they_are_written():
    store = MemoryStore()
    buffer = bytearray(noise(5_000))
    with ContentWriter(store) as writer:
        content = writer.write(buffer)
        buffer[:] = bytes(5_000)
    assert ContentReader(store).read(content) == noise(5_000)


def test_a_stream_is_stored_as_it_was_read_however_late_it_is_sent():
    """What it was read into is read into again meanwhile."""
    gate, data = threading.Event(), noise(40 << 20)

    class Late(MemoryStore):
        def put(self, key, body, *, if_absent=False):
            assert gate.wait(60)
            super().put(key, body, if_absent=if_absent)

    store = Late()
    with ContentWriter(store, uploads=8) as writer:
        content = writer.write(io.BytesIO(data))
        gate.set()
    assert ContentReader(store).read(content) == data


def test_leaving_with_an_error_uploads_nothing():
    store = MemoryStore()

    def fail():
        with ContentWriter(store) as writer:
            writer.write(noise(5000))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(store.list_keys()) == []
