"""Arrow's functions without `pyarrow.compute` do what those in it do."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_pachy.pfs.tree import functions

WORDS = pa.chunked_array([["b", None, "a"], ["c", "ab"]])
TABLE = pa.table({"word": WORDS, "number": [1, 2, 3, 4, 5]})
SEGMENTS = pa.array([{"object": "x", "offset": 1}, {"object": "y", "offset": 2}])


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(0, np.bool_),
        np.arange(21) % 3 == 0,
        np.zeros(0, np.int64),
        np.arange(5),
        np.arange(10)[1::2],
        np.arange(4, dtype=np.uint8),
    ],
)
def test_numbers_and_truths_of_numpy_become_arrays(values) -> None:
    made = functions.as_array(values)
    made.validate(full=True)
    assert made.equals(pa.array(values))


@pytest.mark.parametrize("places", [[4, 0], [], np.array([4, 0]), pa.array([4, None, 0])])
@pytest.mark.parametrize("values", [TABLE, WORDS, WORDS.combine_chunks()])
def test_rows_are_taken_by_place(values, places) -> None:
    assert functions.take(values, places).equals(pc.take(values, pa.array(places, pa.int64())))


def test_a_place_that_is_not_there_is_an_error() -> None:
    with pytest.raises(pa.ArrowIndexError):
        functions.take(TABLE, [5])


def test_rows_are_filtered_by_a_mask() -> None:
    mask = np.array([True, False, True, False, True])
    assert functions.filtered(TABLE, mask).equals(pc.filter(TABLE, pa.array(mask)))
    assert functions.filtered(TABLE, ~mask).equals(pc.filter(TABLE, pa.array(~mask)))


def test_functions_with_options_have_those_of_arrow() -> None:
    some = pa.array(["a", "c"])
    assert functions.sort_indices(WORDS).equals(pc.sort_indices(WORDS))
    assert functions.is_in(WORDS, value_set=some).equals(pc.is_in(WORDS, value_set=some))
    assert functions.index_in(WORDS, value_set=some).equals(pc.index_in(WORDS, value_set=some))
    assert functions.fill_null(WORDS, "-").equals(pc.fill_null(WORDS, "-"))
    assert functions.cast(WORDS, pa.binary()).equals(pc.cast(WORDS, pa.binary()))
    assert functions.match_substring_regex(WORDS, "^a").equals(pc.match_substring_regex(WORDS, "^a"))
    assert functions.struct_field(SEGMENTS, 1).equals(pc.struct_field(SEGMENTS, 1))
    assert functions.call("sum", TABLE["number"]).equals(pc.sum(TABLE["number"]))


def test_what_does_not_fit_is_not_cast() -> None:
    with pytest.raises(pa.ArrowInvalid):
        functions.cast(pa.array([1 << 40]), pa.int32())
