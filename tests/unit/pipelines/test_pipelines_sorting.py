"""Strings sorted by words of eight bytes come in the order that Python gives them."""

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_pachy.pipelines.sorting import is_ascending, sort_places

texts = st.lists(st.text("ab\0\x7fé\uffff\U0001f600", max_size=20) | st.sampled_from(["a" * 8, "a" * 16, "a" * 17]))


@example([])
@example([""])
@example(["", "\0", "", "\0\0"])
@example(["prefix-b", "prefix-a", "prefix-"])
@given(texts)
def test_places_are_those_of_a_stable_sort(values):
    expected = sorted(range(len(values)), key=values.__getitem__)
    assert sort_places(pa.array(values, pa.string())).tolist() == expected
    encoded = [value.encode() for value in values]
    assert sort_places(pa.array(encoded, pa.binary())).tolist() == expected


@example(["", ""], 0, 3)
@given(texts, st.integers(0, 3), st.integers(0, 3))
def test_part_of_a_column_is_sorted_as_such(values, start, stop):
    end = max(start, len(values) - stop)
    part = values[start:end]
    found = sort_places(pa.array(values, pa.string())[start:end])
    assert found.tolist() == sorted(range(len(part)), key=part.__getitem__)


@given(texts)
def test_order_is_noticed(values):
    assert is_ascending(pa.array(values, pa.string())) is (values == sorted(values))
