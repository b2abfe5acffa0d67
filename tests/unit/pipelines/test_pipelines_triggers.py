"""Inputs that follow a branch by conditions of their own."""

import pytest

from airflow_pachy.errors import InvalidSpec


def with_trigger(bench, **trigger):
    bench.document["input"] = {"pfs": {"repo": "images", "glob": "/*", "trigger": trigger}}


def test_a_triggered_input_reads_what_its_own_branch_was_moved_to(bench):
    with_trigger(bench, commits=2)
    bench.put(a=b"1")
    bench.pfs.create_branch("images@edges-trigger-1", trigger={"branch": "master", "commits": 2})
    bench.put(b=b"2")
    second = bench.pfs.inspect_branch("images@master").head
    bench.put(c=b"3")
    assert bench.pfs.inspect_branch("images@edges-trigger-1").head == second
    done = bench.run()
    assert done.datums_processed == 2
    assert [one.branch for one in done.inputs] == ["edges-trigger-1"]


def test_planning_makes_the_branch_with_its_trigger(bench):
    with_trigger(bench, size="1K", all=True)
    bench.put(a=b"1")
    with pytest.raises(LookupError, match="has no commit yet"):
        bench.plan()
    made = bench.pfs.inspect_branch("images@edges-trigger-1")
    assert made.trigger.to_dict() == {"branch": "master", "size": "1K", "all": True}
    bench.put(big=b"x" * 2000)
    assert bench.run().datums_total == 2


def test_a_trigger_that_cannot_be_meant_is_refused(bench):
    with_trigger(bench, commits=-1)
    with pytest.raises(InvalidSpec, match=r"input\.pfs\.trigger: a trigger's commits must be a number"):
        bench.spec()
