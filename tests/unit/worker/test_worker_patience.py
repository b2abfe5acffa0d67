"""The helper's store waits for a service that is away, and no longer than it makes sense."""

import pytest

from airflow_pachy.errors import ObjectExists, StoreDenied, StoreUnavailable
from airflow_pachy.pfs.objects import MemoryStore
from airflow_pachy.worker.patience import Patience, PatientStore


class Away(MemoryStore):
    """Fails as often as told; listings break after every second key."""

    def __init__(self):
        super().__init__()
        self.failures = 0
        self.error = StoreUnavailable("no answer")

    def _fail(self):
        if self.failures:
            self.failures -= 1
            raise self.error

    def get(self, key, *, offset=0, length=None):
        self._fail()
        return super().get(key, offset=offset, length=length)

    def put(self, key, body, *, if_absent=False):
        self._fail()
        super().put(key, body, if_absent=if_absent)

    def list_keys(self, prefix="", *, after=None):
        for number, info in enumerate(super().list_keys(prefix, after=after)):
            if number == 2:
                raise self.error
            yield info


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def away():
    return Away()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(away, clock):
    return PatientStore(away, Patience(first_seconds=10, seconds=100, clock=clock, sleep=clock.sleep))


def test_an_outage_is_waited_out_and_told_once(away, clock):
    said = []
    store = PatientStore(away, Patience(clock=clock, sleep=clock.sleep, log=said.append))
    store.put("a", b"1")
    away.failures = 15
    assert store.get("a") == b"1"
    assert clock.now == 30
    assert said == ["trying for up to 600 seconds: no answer", "answered after 30 seconds"]


def test_a_service_that_never_answered_is_given_up_sooner(away, store, clock):
    away.failures = 1000
    with pytest.raises(StoreUnavailable):
        store.get("a")
    assert clock.now == 10
    away.failures = 0
    store.put("a", b"1")
    away.failures = 1000
    with pytest.raises(StoreUnavailable):
        store.get("a")
    assert clock.now == 110


def test_at_term_nobody_waits(away, clock):
    store = PatientStore(away, Patience(clock=clock, sleep=clock.sleep, given_up=lambda: True))
    away.failures = 1
    with pytest.raises(StoreUnavailable):
        store.get("a")
    assert clock.now == 0


def test_what_waiting_cannot_mend_is_said_at_once(away, store, clock):
    away.failures, away.error = 1, StoreDenied("wrong key")
    with pytest.raises(StoreDenied):
        store.get("a")
    store.put("a", b"1")
    with pytest.raises(ObjectExists):
        store.put("a", b"2", if_absent=True)
    assert clock.now == 0


def test_an_interrupted_listing_goes_on_where_it_was(store):
    for name in "abcdefg":
        store.put(name, b"")
    assert [info.key for info in store.list_keys()] == list("abcdefg")
    assert [info.key for info in store.list_keys(after="c")] == list("defg")
