"""A root whose requests can be interrupted and whose objects can be made older, for tests of garbage collection."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_pachy.metadata import Metadata
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.content import ContentReader
from airflow_pachy.pfs.format import ensure_format
from airflow_pachy.pfs.objects.memory import MemoryStore
from airflow_pachy.pfs.root import Root
from airflow_pachy.pfs.tree.cache import shared as node_cache
from airflow_pachy.testing.faulty_store import FaultyStore
from airflow_pachy.testing.interrupted_store import InterruptedStore
from airflow_pachy.testing.time_travel import AgeingStore, pass_time

GRACE = timedelta(days=7)


class World:
    """Store, database and clients of one root."""

    def __init__(self, home):
        self.aged = AgeingStore(MemoryStore())
        self.faulty = FaultyStore(self.aged)
        self.store = InterruptedStore(self.faulty)
        self.metadata = Metadata.open(f"sqlite:///{home}/pachy.db")
        self.metadata.ensure_ready()
        ensure_format(self.aged)
        self.pfs = self.client()

    def client(self, store=None):
        """As another process would begin: nothing is cached."""
        store = store or self.store
        node_cache.clear()
        return Pfs(Root(store, self.metadata, ContentReader(store)))

    def pass_time(self, time):
        pass_time(self.aged, self.metadata, time)

    def interrupt(self, coming):
        self.store.calls, self.store.coming = 0, dict(coming)

    def recover(self):
        """Faults are over, and so are interruptions."""
        self.store.coming = {}
        self.faulty.faults, self.faulty._dead = [], False
        self.faulty._met.clear()

    def files(self, commit):
        pfs = self.client(self.aged)
        infos = [info for info in pfs.walk_file(f"{commit}:/") if not info.is_dir]
        return {info.path: pfs.get_file(f"{commit}:{info.path}") for info in infos}

    def keys(self, prefix=""):
        return [info.key for info in self.aged.list_keys(prefix)]

    def close(self):
        self.metadata.close()


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()
