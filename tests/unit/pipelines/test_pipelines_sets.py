import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines.sets import DatumSetSpec, cut_sets, describe_sets
from airflow_pachy.worker.plan import read_plan


def cut(sizes, parallelism=None, max_sets=1024, **spec):
    return cut_sets(sizes, DatumSetSpec(**spec), parallelism=parallelism, max_sets=max_sets)


def test_nothing_to_run_needs_no_set():
    assert cut([]) == []


def test_a_number_of_datums_per_set():
    assert cut([1] * 7, number=3) == [3, 3, 1]


def test_a_size_per_set_counts_input_bytes_and_never_splits_a_datum():
    assert cut([40, 40, 40, 500, 10], size_bytes=100) == [2, 1, 1, 1]


def test_number_and_size_close_a_set_whichever_comes_first():
    assert cut([10, 10, 10, 90, 90], number=2, size_bytes=100) == [2, 2, 1]


def test_sets_per_worker_divide_all_datums():
    assert cut([1] * 10, parallelism=2, per_worker=2) == [3, 3, 2, 2]


def test_sets_per_worker_need_a_number_of_workers():
    with pytest.raises(InvalidSpec, match=r"parallelism_spec\.constant"):
        cut([1], per_worker=2)


def test_per_worker_excludes_the_other_rules():
    with pytest.raises(ValidationError, match="cannot be combined"):
        DatumSetSpec(per_worker=1, number=3)


def test_zero_means_unset_as_in_exported_specs():
    assert DatumSetSpec.model_validate({"number": 0, "size_bytes": "0", "per_worker": 2}) == DatumSetSpec(per_worker=2)


def test_by_default_few_datums_run_side_by_side_and_many_in_bounded_sets():
    assert cut([1] * 5) == [1] * 5
    assert cut([1] * 100, parallelism=4) == [25] * 4
    assert max(cut([1] * 100_000)) <= 2_000


def test_what_is_asked_for_is_enlarged_to_fit_the_limit():
    assert len(cut([1] * 1000, number=1, max_sets=10)) == 10
    assert len(cut([100] * 1000, size_bytes=50, max_sets=10)) == 10


@given(
    st.lists(st.integers(0, 1000), max_size=200),
    st.one_of(
        st.just({}),
        st.builds(dict, number=st.integers(1, 50)),
        st.builds(dict, size_bytes=st.integers(1, 5000)),
        st.builds(dict, per_worker=st.integers(1, 5)),
    ),
    st.integers(1, 20),
    st.integers(1, 30),
)
def test_sets_cover_all_datums_within_the_limit(sizes, spec, parallelism, max_sets):
    counts = cut(sizes, parallelism=parallelism, max_sets=max_sets, **spec)
    assert sum(counts) == len(sizes)
    assert all(counts)
    assert len(counts) <= max_sets


@pytest.mark.parametrize(
    ("total", "spec", "parallelism", "said"),
    [
        (100, {}, None, "100 datums in 16 sets of up to 7"),
        (100, {}, 4, "100 datums in 4 sets of up to 25"),
        (100, {"number": 10}, 4, "100 datums in 10 sets of up to 10; 4 at a time"),
        (100_000, {}, None, "100,000 datums in 50 sets of up to 2,000"),
        (
            100_000,
            {"number": 10},
            None,
            (
                "100,000 datums in 1,021 sets of up to 98: sets of 10 as asked for would be more than the 1,024 tasks "
                "that may be mapped"
            ),
        ),
        (
            100_000,
            {"size_bytes": 1},
            None,
            (
                "100,000 datums in 1,024 sets of up to 98, the most tasks that may be mapped "
                "([core] max_map_length, 1,024)"
            ),
        ),
        (
            3_000_000,
            {},
            None,
            (
                "3,000,000 datums in 1,024 sets of up to 2,930: smaller ones would be more than the 1,024 tasks that "
                "may be mapped ([core] max_map_length)"
            ),
        ),
    ],
)
def test_what_was_made_of_the_datums_and_why_is_said(total, spec, parallelism, said):
    counts = cut([1] * total, parallelism=parallelism, **spec)
    assert describe_sets(counts, DatumSetSpec(**spec), parallelism=parallelism, max_sets=1024) == said


def test_the_plan_says_it_in_the_log(bench, caplog):
    bench.put(**{f"f{number}": b"x" for number in range(30)})
    with caplog.at_level("INFO", logger="airflow_pachy.pipelines.set_plans"):
        plan = bench.plan(spec={"datum_set_spec": {"number": 1}}, max_sets=8)
    assert len(plan.sets) == 8
    assert "30 datums in 8 sets of up to 4: sets of 1 as asked for would be more than the 8 tasks" in caplog.text


def test_set_plans_name_the_paths_that_planning_listed(bench):
    names = ["plain", 'quo"ted', "back\\slash", "tab\t", "line\nend", "del\x7f", "naïve 日本"]
    bench.put(**dict.fromkeys(names, b"1"))
    planned = bench.plan()
    paths = [one.inputs[0].path for key in planned.sets for one in read_plan(bench.pfs.store, key).datums]
    assert paths == sorted(names)
