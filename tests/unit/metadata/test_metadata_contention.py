"""Transactions that were given up are done again: which errors mean that, how often, and when not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_pachy.errors import MetadataContended
from airflow_pachy.metadata import Metadata, contention
from airflow_pachy.metadata.contention import TRIES, is_contention, retried, retry


class DriverError(Exception):
    """What drivers raise: MySQL's have a number first, PostgreSQL's a state."""

    def __init__(self, *args, **states):
        super().__init__(*args)
        self.__dict__ |= states


@pytest.fixture
def metadata():
    database = Metadata.open("sqlite://")
    database.ensure_ready()
    yield database
    database.close()


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """How long it waited in between, without waiting."""
    waited = []
    monkeypatch.setattr(contention.time, "sleep", waited.append)
    return waited


class Lost:
    """Work that is given up `times` times."""

    def __init__(self, times):
        self.left, self.calls = times, 0

    def __call__(self, *given):
        self.calls += 1
        if self.calls <= self.left:
            raise MetadataContended("lost")
        return given


@pytest.mark.parametrize(
    "error",
    [
        DriverError(1213, "Deadlock found"),
        DriverError(1205, "Lock wait timeout exceeded"),
        DriverError(1205, "Lock wait timeout exceeded", sqlstate="HY000"),
        DriverError(1305, "SAVEPOINT sa_savepoint_1 does not exist", sqlstate="42000"),
        DriverError("deadlock detected", pgcode="40P01"),
        DriverError("could not serialize", sqlstate="40001"),
    ],
)
def test_what_means_that_a_transaction_was_given_up(error):
    assert is_contention(error)


@pytest.mark.parametrize(
    "error",
    [
        None,
        DriverError(),
        DriverError(1062, "Duplicate entry"),
        DriverError(1305, "FUNCTION test.MD5 does not exist", sqlstate="42000"),
        DriverError("relation does not exist", pgcode="42P01"),
        DriverError("database is locked"),
    ],
)
def test_what_does_not(error):
    assert not is_contention(error)


def test_it_is_done_until_it_succeeds(metadata, waits):
    work = Lost(3)
    assert retried(work_of(work))(SimpleNamespace(metadata=metadata), 7) == (7,)
    assert work.calls == 4
    assert len(waits) == 3


def work_of(work):
    def call(owner, *given):
        return work(*given)

    return call


def test_it_is_not_done_for_ever(metadata):
    work = Lost(10**6)
    with pytest.raises(MetadataContended):
        retry(metadata, work)
    assert work.calls == TRIES


def test_it_is_not_done_again_after_a_long_wait(metadata, monkeypatch):
    clock = iter([0.0, contention.PATIENCE_SECONDS + 1])
    monkeypatch.setattr(contention.time, "monotonic", lambda: next(clock))
    work = Lost(10**6)
    with pytest.raises(MetadataContended):
        retry(metadata, work)
    assert work.calls == 1


def test_a_part_of_a_larger_transaction_is_not_done_again(metadata):
    """All of that transaction is lost, not only this part."""
    work = Lost(1)
    with pytest.raises(MetadataContended), metadata.transaction():
        retry(metadata, work)
    assert work.calls == 1


def test_other_errors_pass(metadata):
    calls = []

    def work():
        calls.append(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        retry(metadata, work)
    assert calls == [1]
