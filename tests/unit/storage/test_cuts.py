"""Where files are cut is a matter of their bytes alone; how they are read, looked up and sent is not."""

import io
import random
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from airflow_pachy.errors import StoreUnavailable
from airflow_pachy.pfs.content import ContentReader, ContentWriter, chunking, hash_bytes
from airflow_pachy.pfs.content.rooms import Rooms
from airflow_pachy.pfs.content.runs import runs_of_bytes, runs_of_stream
from airflow_pachy.pfs.objects import MemoryStore
from airflow_pachy.pfs.tree.entries import Segment

MIN, MAX, DIVISOR = 1 << 10, 12 << 10, 2
FEW = settings(max_examples=20)


@pytest.fixture(scope="module")
def small():
    """Chunks of a thousandth of their size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunking, "MIN_BYTES", MIN)
        patch.setattr(chunking, "MAX_BYTES", MAX)
        patch.setattr(chunking, "_DIVISOR", DIVISOR)
        patch.setattr(chunking, "_BLOCK_BYTES", 1 << 9)
        patch.setattr(chunking, "_BELOW", np.uint32(2**32 // 256))
        yield


def plain_cuts(data, least, most, below, divisor):
    """Lengths of all chunks, as the format says it, position by position."""
    octets = np.frombuffer(data, np.uint8).astype(np.uint64)
    words = octets[:-3] | octets[1:-2] << 8 | octets[2:-1] << 16 | octets[3:] << 24
    passed = (words * np.uint64(0x9E3779B1) + np.uint64(0x7F4A7C15)) % 2**32 < below
    places = [int(place) + 4 for place in np.flatnonzero(passed)]
    good = [place for place in places if place >= 64 and xxh3_64_intdigest(data[place - 64 : place]) % divisor == 0]
    lengths, start = [], 0
    while start < len(data):
        cut = next((place for place in good if start + least <= place <= start + most), None)
        end = min(start + most, len(data)) if cut is None else cut
        lengths.append(end - start)
        start = end
    return lengths


def contents(seed, size):
    """Noise, zeros, and what repeats itself."""
    rng = random.Random(seed)
    parts = []
    while sum(map(len, parts)) < size:
        length = rng.randrange(1, 30_000)
        kinds = (rng.randbytes(length), bytes(length), rng.randbytes(97) * (length // 97 + 1))
        parts.append(rng.choice(kinds))
    return b"".join(parts)[:size]


class Trickle(io.RawIOBase):
    """A stream that gives as much at a time as it likes."""

    def __init__(self, data, rng):
        super().__init__()
        self._inner, self._rng = io.BytesIO(data), rng

    def readable(self):
        return True

    def readinto(self, buffer):
        part = self._inner.read(self._rng.randint(1, len(buffer)))
        buffer[: len(part)] = part
        return len(part)


class OnlyRead:
    """A stream that knows no `readinto`."""

    def __init__(self, data):
        self._inner = io.BytesIO(data)

    def read(self, size=-1):
        return self._inner.read(size)


def test_the_cuts_of_the_format():
    data = random.Random(3).randbytes(40 << 20)
    lengths = [len(chunk) for chunk in chunking.split(memoryview(data))]
    assert lengths == plain_cuts(data, 1 << 20, 12 << 20, 2**32 // 4096, 768)
    assert len(lengths) > 5


@given(seed=st.integers(0, 2**32), size=st.integers(4, 400_000))
@FEW
def test_cuts_do_not_depend_on_how_much_is_seen_at_a_time(small, seed, size):
    data, rng = contents(seed, size), random.Random(seed)
    plain = plain_cuts(data, MIN, MAX, 2**32 // 256, DIVISOR)
    assert [len(chunk) for chunk in chunking.split(memoryview(data))] == plain
    start, seen, searched, found = 0, 0, 0, []
    while start < size:
        cut = chunking.find_cut(memoryview(data)[start:seen], searched)
        searched = seen - start
        if cut is None and seen < size:
            seen = min(size, seen + rng.randint(1, 5_000))
            continue
        found.append(cut or seen - start)
        start, searched = start + found[-1], 0
    assert found == plain


@given(
    seed=st.integers(0, 2**32),
    size=st.integers(0, 600_000),
    head=st.integers(0, MAX),
    room=st.integers(MAX, 5 * MAX),
    enough=st.sampled_from([1, 2 * MAX, 10**9]),
)
@FEW
def test_runs_of_a_stream_are_its_chunks_however_it_is_read(small, seed, size, head, room, enough):
    data, rng = contents(seed, size), random.Random(seed)
    expected = [bytes(chunk) for chunk in chunking.split(memoryview(data))]
    for make in (io.BytesIO, OnlyRead, lambda rest: Trickle(rest, rng)):
        found, kept = [], []
        for run in runs_of_stream(make(data[head:]), data[:head], Rooms(room), lambda size_bytes: size_bytes >= enough):
            assert sum(run.lengths) == run.size_bytes <= room
            start = len(found)
            for length, digest in zip(run.lengths, run.digests, strict=True):
                at = sum(run.lengths[: len(found) - start])
                found.append(bytes(run.data[at : at + length]))
                assert hash_bytes(found[-1]) == digest
            if run.may_be_sent and rng.random() < 0.5:
                kept.append((run.data[: run.size_bytes], bytes(run.data[: run.size_bytes]), run.take()))
            while kept and rng.random() < 0.3:
                view, copy, done = kept.pop(rng.randrange(len(kept)))
                assert view == copy, "what was taken stays as it is"
                done()
        assert found == expected
        assert all(view == copy for view, copy, _ in kept)


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_runs_of_bytes_are_their_chunks(small, kind):
    data = contents(5, 300_000)
    runs = list(runs_of_bytes(memoryview(kind(data)), 50_000))
    expected = [len(chunk) for chunk in chunking.split(memoryview(data))]
    assert [length for run in runs for length in run.lengths] == expected
    assert b"".join(bytes(run.data[: run.size_bytes]) for run in runs) == data
    assert [run.may_be_sent for run in runs[:-1]] == [kind is bytes] * (len(runs) - 1)


class Stored:
    """`SharedChunks` that tells what it was asked."""

    def __init__(self, places=None):
        self.places, self.asked, self.offered = places or {}, [], {}

    def find(self, digests):
        self.asked.append(list(digests))
        return {digest: self.places[digest] for digest in digests if digest in self.places}

    def offer(self, places):
        self.offered |= places


class Seen(MemoryStore):
    """Remembers where the bodies lay that it was given."""

    def __init__(self):
        super().__init__()
        self.bodies = []

    def put(self, key, body, *, if_absent=False):
        self.bodies.append(body)
        super().put(key, body, if_absent=if_absent)


def test_a_stream_is_sent_from_the_memory_that_it_was_read_into(small):
    data, store = contents(1, 2_000_000), Seen()
    with ContentWriter(store, pack_target_bytes=60_000, uploads=2) as writer:
        content = writer.write(io.BytesIO(data))
    assert ContentReader(store).read(content) == data
    assert len(store.bodies) < 2_000_000 / 40_000
    rooms = {id(body.obj) for body in store.bodies}
    assert len(rooms) <= 2 + 1 + 1, "those of the uploads, the stream and the pack that is being filled"


def test_unchanging_bytes_are_sent_as_they_lie(small):
    data, store = random.Random(2).randbytes(500_000), Seen()
    with ContentWriter(store, pack_target_bytes=60_000) as writer:
        content = writer.write(data)
        other = writer.write(bytearray(contents(3, 500_000)))
    assert ContentReader(store).read(content) == data
    assert ContentReader(store).read(other) == contents(3, 500_000)
    assert sum(len(body) for body in store.bodies if body.obj is data) > 400_000


def test_large_chunks_are_looked_up_together(small):
    data, store, shared = random.Random(6).randbytes(400_000), MemoryStore(), Stored()
    with ContentWriter(store, shared=shared, pack_target_bytes=100_000) as writer:
        content = writer.write(io.BytesIO(data))
    large = [segment for segment in content.segments if segment.length >= MIN]
    assert sum(map(len, shared.asked)) == len(large) > 40
    assert len(shared.asked) <= 7
    assert shared.offered == {one.hash: Segment(one.object, one.offset, one.length) for one in large}

    again = Stored(shared.offered)
    with ContentWriter(store, shared=again) as writer:
        assert writer.write(io.BytesIO(data)).segments[:-1] == content.segments[:-1]
    assert set(again.offered) <= {content.segments[-1].hash}


def test_what_is_known_is_left_out_of_a_run(small):
    """Also of a run that would have been sent as it lies; and what has another length is not believed."""
    data, store = random.Random(7).randbytes(400_000), MemoryStore()
    with ContentWriter(store) as writer:
        first = writer.write(data)
    places = {one.hash: Segment(one.object, one.offset, one.length) for one in first.segments[:-1:3]}
    wrong = first.segments[1]
    places[wrong.hash] = Segment(wrong.object, wrong.offset, wrong.length - 1)
    other = MemoryStore()
    with ContentWriter(other, shared=Stored(places), pack_target_bytes=60_000) as writer:
        second = writer.write(io.BytesIO(data))
    new = sum(one.length for one in first.segments if places.get(one.hash) is None or one is wrong)
    assert sum(info.size_bytes for info in other.list_keys("packs/")) == new
    assert (second.hash, second.size_bytes) == (first.hash, first.size_bytes)
    assert [one.object for one in second.segments[:-1:3]] == [one.object for one in first.segments[:-1:3]]


def test_a_run_of_files_of_the_size_of_a_chunk_is_shared(small):
    store, files = MemoryStore(), [random.Random(seed).randbytes(MIN - seed % 2) for seed in range(9)]
    lengths, digests = [len(one) for one in files], [hash_bytes(one) for one in files]
    shared = Stored()
    with ContentWriter(store, shared=shared) as writer:
        objects, offsets = writer.write_run(memoryview(b"".join(files)), lengths, digests)
    assert [len(asked) for asked in shared.asked] == [5]
    assert set(digests[::2]) == shared.offered.keys()
    before = sum(info.size_bytes for info in store.list_keys("packs/"))
    with ContentWriter(store, shared=Stored(shared.offered)) as writer:
        again = writer.write_run(memoryview(b"".join(files)), lengths, digests)
    assert (again[0][::2], again[1][::2]) == (objects[::2], offsets[::2])
    assert sum(info.size_bytes for info in store.list_keys("packs/")) - before == sum(lengths[1::2])


def test_streams_written_at_once_do_not_mix(small):
    store, files = MemoryStore(), [contents(seed, 700_000) for seed in range(4)]
    written = {}
    with ContentWriter(store, pack_target_bytes=50_000, uploads=3) as writer:

        def write(number):
            written[number] = writer.write(Trickle(files[number], random.Random(number)))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(ContentReader(store).read(written[number]) == data for number, data in enumerate(files))


def test_only_what_is_in_the_store_is_offered_to_others(small):
    """Also while another thread writes on, whose chunks are on their way."""
    shared, gate, waiting = Stored(), threading.Event(), threading.Event()

    class Slow(MemoryStore):
        def put(self, key, body, *, if_absent=False):
            if body == second:
                waiting.set()
                assert gate.wait(60)
            super().put(key, body, if_absent=if_absent)

    first, second = random.Random(1).randbytes(MIN), random.Random(2).randbytes(MIN)
    store = Slow()
    with ContentWriter(store, shared=shared) as writer:
        writer.write(first)
        assert shared.offered == {}
        writer.flush()
        writer.write(second)
        writer.send()
        assert waiting.wait(60)
        flushing = threading.Thread(target=writer.flush)
        flushing.start()
        assert set(shared.offered) == {hash_bytes(first)}
        gate.set()
        flushing.join()
        assert set(shared.offered) == {hash_bytes(first), hash_bytes(second)}


def test_what_could_not_be_stored_is_offered_to_nobody(small):
    shared = Stored()

    class Full(MemoryStore):
        def put(self, key, body, *, if_absent=False):
            raise StoreUnavailable("full")

    writer = ContentWriter(Full(), shared=shared)
    writer.write(random.Random(1).randbytes(MIN))
    with pytest.raises(StoreUnavailable):
        writer.flush()
    writer.close()
    assert shared.offered == {}
