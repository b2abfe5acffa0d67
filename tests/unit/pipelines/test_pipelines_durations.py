from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("300ms", 0.3), ("1h1m1s", 3661), (".5s", 0.5), ("250us", 0.00025)],
)
def test_go_durations_are_read(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


def test_a_timedelta_is_a_duration_already():
    assert parse_duration(timedelta(minutes=3)) == timedelta(minutes=3)


@pytest.mark.parametrize("text", ["", "10", "1 h", "h", "1d", "one minute", "1h-5m", 90])
def test_other_texts_are_refused_with_an_example(text):
    with pytest.raises(InvalidSpec, match="1h30m"):
        parse_duration(text)


@pytest.mark.parametrize("value", ["0s", timedelta(0), timedelta(seconds=-1)])
def test_a_duration_is_longer_than_zero(value):
    with pytest.raises(InvalidSpec, match="longer than zero"):
        parse_duration(value)


@given(st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=400)))
def test_formatting_and_parsing_are_inverse(duration):
    assert abs(parse_duration(format_duration(duration)) - duration) <= timedelta(microseconds=1)
