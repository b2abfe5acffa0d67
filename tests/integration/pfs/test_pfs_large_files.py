"""Files larger than memory: what a process needs to put, split and read them, and which bytes a range costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.content import ContentReader
from airflow_pachy.pfs.objects.wrappers import CountingStore
from airflow_pachy.pfs.root import Root

_PRELUDE = """
import io, json, resource, sys
import numpy
from airflow_pachy.pfs import Pfs

class Endless(io.RawIOBase):
    # Incompressible, never twice the same, and quick to make.
    def __init__(self, size_bytes):
        self.left, self.block = size_bytes, numpy.random.default_rng(1).integers(0, 2**63, 1 << 19, numpy.int64)
    def readable(self):
        return True
    def read(self, size=-1):
        size = min(self.left, 4 << 20 if size < 0 else min(size, 4 << 20))
        self.block += 1
        self.left -= size
        return self.block.tobytes()[:size]
    def readinto(self, buffer):
        data = self.read(len(buffer))
        buffer[:len(data)] = data
        return len(data)

def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

pfs = Pfs.open(sys.argv[1], sys.argv[2])
pfs.put_file("big@master:/warm-up", Endless(8 << 20))
before = peak_bytes()
"""


def peak_of(tmp_path, code: str) -> int:
    """How much more memory a process took at its highest for the code than for starting up."""
    places = f"file://{tmp_path}/store", f"sqlite:///{tmp_path}/db"
    with Pfs.open(*places) as pfs:
        if "big" not in {repo.name for repo in pfs.list_repos()}:
            pfs.create_repo("big")
    program = f"{_PRELUDE}\n{textwrap.dedent(code)}\nprint(json.dumps(peak_bytes() - before))"
    done = subprocess.run(
        [sys.executable, "-c", program, *places], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout))


@pytest.mark.slow
def test_putting_and_reading_a_stream_needs_memory_for_packs_alone(tmp_path):
    size = 640 << 20
    put = peak_of(tmp_path, f'pfs.put_file("big@master:/f", Endless({size}))')
    # Four packs of 32 MiB on their way, one being filled, and a chunk.
    assert put < 320 << 20
    read = peak_of(
        tmp_path,
        f"""
        with pfs.open_file("big@master:/f") as file:
            total = 0
            while window := file.read(1 << 20):
                total += len(window)
        assert total == {size}
        """,
    )
    assert read < 120 << 20


@pytest.mark.slow
def test_splitting_a_stream_needs_no_more(tmp_path):
    code = """
    class Lines(Endless):
        def read(self, size=-1):
            return super().read(size).replace(b"\\n\\n", b"\\n \\n")
    pfs.put_split("big@master:/d", Lines(200 << 20), target_file_bytes=30 << 20, header="id\\n")
    assert len(list(pfs.list_file("big@master:/d"))) >= 6
    """
    assert peak_of(tmp_path, code) < 360 << 20


@pytest.fixture
def counted(tmp_path):
    """A client whose requests are counted, on a repo with a file of 40 MiB."""
    with Pfs.open(f"file://{tmp_path}/store", f"sqlite:///{tmp_path}/db") as pfs:
        pfs.create_repo("big")
        data = os.urandom(40 << 20)
        pfs.put_file("big@master:/f", data)
        store = CountingStore(pfs.store)
        yield Pfs(Root(store, pfs.metadata, ContentReader(store))), store, data


def test_a_range_costs_its_bytes(counted):
    pfs, store, data = counted
    pfs.inspect_file("big@master:/f")
    for offset, length in ((0, 10), (12_345_678, 1000), ((40 << 20) - 5, 100), (7 << 20, 5 << 20)):
        store.counts.bytes.clear()
        assert pfs.get_file("big@master:/f", offset, length) == data[offset : offset + length]
        assert store.counts.bytes["get"] <= length
    store.counts.bytes.clear()
    assert pfs.get_file("big@master:/f", 41 << 20) == b""
    assert store.counts.bytes["get"] == 0


def test_a_seek_costs_the_chunk_it_lands_in(counted):
    pfs, store, data = counted
    with pfs.open_file("big@master:/f") as file:
        store.counts.bytes.clear()
        file.seek(-100, os.SEEK_END)
        assert file.read() == data[-100:]
        assert file.seek(20 << 20) == 20 << 20
        assert file.read(10) == data[20 << 20 : (20 << 20) + 10]
        assert file.tell() == (20 << 20) + 10
        # Two chunks of at most 12 MiB.
        assert 0 < store.counts.bytes["get"] <= 24 << 20
