"""Watchers keep the schedules of branch triggers, and are not stopped by them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_pachy.errors import MetadataUnavailable
from airflow_pachy.pfs import Pfs, Trigger
from airflow_pachy.triggers.polling import Schedules

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


class Clockwork:
    """A client that only counts."""

    def __init__(self, *outcomes):
        self.asked = []
        self._outcomes = list(outcomes)

    def tick_triggers(self, now):
        self.asked.append(now)
        if self._outcomes:
            raise self._outcomes.pop(0)
        return []


def test_schedules_are_looked_at_once_in_a_minute():
    pfs, schedules = Clockwork(), Schedules()
    for seconds in (0, 2, 58, 60, 62, 121):
        schedules.tick(pfs, NOON + timedelta(seconds=seconds))
    assert [moment - NOON for moment in pfs.asked] == [timedelta(seconds=one) for one in (0, 60, 121)]


def test_a_look_that_fails_is_logged_and_repeated(caplog):
    pfs, schedules = Clockwork(MetadataUnavailable("away")), Schedules()
    schedules.tick(pfs, NOON)
    assert "away" in caplog.text
    schedules.tick(pfs, NOON + timedelta(minutes=1))
    assert len(pfs.asked) == 2


def test_a_watcher_moves_a_branch_whose_time_has_come(tmp_path):
    with Pfs.open("memory://", f"sqlite:///{tmp_path / 'pachy.db'}") as pfs:
        pfs.create_repo("images")
        pfs.create_branch("images@nightly", trigger=Trigger("master", cron="0 3 * * *"))
        pfs.put_file("images@master:/a", b"1")
        schedules = Schedules()
        schedules.tick(pfs)
        assert pfs.inspect_branch("images@nightly").head is None
        schedules.tick(pfs, datetime.now(UTC) + timedelta(days=2))
        assert pfs.inspect_branch("images@nightly").head == pfs.inspect_branch("images@master").head
