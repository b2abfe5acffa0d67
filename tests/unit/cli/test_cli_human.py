from datetime import UTC, datetime, timedelta

import pytest

from airflow_pachy.cli import human

NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (58_646, "57.27 KiB"),
        (5 << 30, "5.00 GiB"),
        (3 << 60, "3072.00 PiB"),
    ],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert human.size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "less than a second ago"),
        (1, "1 second ago"),
        (59.9, "59 seconds ago"),
        (300, "5 minutes ago"),
        (3600 * 47, "47 hours ago"),
        (86400 * 3, "3 days ago"),
        (86400 * 21, "3 weeks ago"),
        (86400 * 150, "5 months ago"),
        (86400 * 800, "2 years ago"),
        (-5, "less than a second ago"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert human.age(NOW - timedelta(seconds=seconds), now=NOW) == text


def test_what_has_not_happened_has_no_age() -> None:
    assert human.age(None) == "-"
    assert human.duration(None, None) == "-"


def test_a_duration_goes_on_until_the_end_is_known() -> None:
    started = NOW - timedelta(minutes=3)
    assert human.duration(started, None, now=NOW) == "3 minutes"
    assert human.duration(started, started + timedelta(seconds=12), now=NOW) == "12 seconds"
