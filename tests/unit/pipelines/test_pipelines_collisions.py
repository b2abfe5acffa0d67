"""Two datums that write one path: refused by default, combined when asked."""

import pytest

from airflow_pachy.errors import OutputCollision, PathConflict
from airflow_pachy.pipelines import assemble_job, inspect_job, list_job_datums


def words(inputs):
    """The map of a map/reduce: each line `word value` goes to the file of its word."""
    outputs = {}
    for content in inputs["images"].values():
        for line in content.decode().splitlines():
            word, value = line.split()
            outputs[word] = outputs.get(word, b"") + value.encode() + b"\n"
    return outputs


@pytest.fixture
def bench(bench):
    bench.code = words
    return bench


def ids_by_path(bench, job_id):
    return {one.inputs[0][1]: one.id for one in list_job_datums(bench.pfs, job_id)}


def test_a_collision_names_both_datums_the_path_and_the_way_out(bench):
    bench.put(one=b"cat 1", two=b"cat 2\ndog 3")
    plan = bench.plan()
    bench.process(plan)
    with pytest.raises(OutputCollision) as raised:
        assemble_job(bench.pfs, plan.job_id)
    ids = ids_by_path(bench, plan.job_id)
    for part in ("/cat", ids["/one"], ids["/two"], "images:/one", "images:/two", "append", "overwrite"):
        assert part in str(raised.value)
    job = inspect_job(bench.pfs, plan.job_id)
    assert (job.state, job.error) == ("failed", str(raised.value))
    assert bench.pfs.inspect_branch("edges@master").head is None
    assert bench.pfs.inspect_commit(f"edges@{plan.output_commit}").state == "error"


def test_the_same_content_is_a_collision_too(bench):
    bench.put(one=b"cat 1", two=b"cat 1\n")
    plan = bench.plan()
    bench.process(plan)
    with pytest.raises(OutputCollision):
        assemble_job(bench.pfs, plan.job_id)


def test_a_collision_with_a_datum_done_long_ago_names_it(bench):
    bench.put(one=b"cat 1")
    first = bench.run()
    bench.put(two=b"cat 2")
    with pytest.raises(OutputCollision) as raised:
        bench.run()
    assert "images:/one" in str(raised.value)
    assert "images:/two" in str(raised.value)
    assert bench.pfs.inspect_branch("edges@master").head == first.output_commit


def test_nothing_runs_again_when_append_is_chosen_after_a_collision(bench):
    bench.put(one=b"cat 1", two=b"cat 2")
    with pytest.raises(OutputCollision):
        bench.run("run")
    plan = bench.plan("run", spec={"on_collision": "append"})
    assert plan.to_run == 0
    assemble_job(bench.pfs, plan.job_id)
    assert bench.output() == {"/cat": b"1\n2\n"}


def test_a_new_datum_may_take_over_the_path_of_one_that_vanishes(bench):
    bench.put(one=b"cat 1")
    bench.run()
    with bench.pfs.commit("images@master") as commit:
        commit.delete_file("/one")
        commit.put_file("/two", b"cat 2")
    bench.run()
    assert bench.output() == {"/cat": b"2\n"}


def test_the_same_content_taken_over_has_a_new_owner(bench):
    bench.put(one=b"cat 1", other=b"dog 1")
    bench.run()
    with bench.pfs.commit("images@master") as commit:
        commit.delete_file("/one")
        commit.put_file("/two", b"cat 1")
    bench.run()
    bench.pfs.delete_file("images@master:/two")
    bench.run()
    assert bench.output() == {"/dog": b"1\n"}


def test_a_file_may_become_a_directory_when_its_datum_vanishes(bench):
    bench.put(one=b"cat 1")
    bench.run()
    with bench.pfs.commit("images@master") as commit:
        commit.delete_file("/one")
        commit.put_file("/two", b"cat/tabby 2")
    bench.run()
    assert bench.output() == {"/cat/tabby": b"2\n"}


@pytest.mark.parametrize("rule", ["error", "append", "overwrite"])
def test_a_file_and_a_directory_of_one_name_are_refused(bench, rule):
    bench.document["on_collision"] = rule
    bench.put(one=b"cat 1", two=b"cat/tabby 2")
    with pytest.raises(PathConflict, match="another writes a directory"):
        bench.run()
    assert bench.pfs.inspect_branch("edges@master").head is None


def test_append_concatenates_in_the_order_of_the_inputs(bench):
    bench.document["on_collision"] = "append"
    bench.put(c=b"cat 3\ndog 3", a=b"cat 1", b=b"cat 2")
    bench.run()
    assert bench.output() == {"/cat": b"1\n2\n3\n", "/dog": b"3\n"}


def test_append_remakes_only_what_changed(bench):
    bench.document["on_collision"] = "append"
    bench.put(a=b"cat 1\ndog 1", b=b"cat 2", c=b"cat 3")
    bench.run()
    with bench.pfs.commit("images@master") as commit:
        commit.put_file("/b", b"cat 20\nemu 20")
        commit.delete_file("/c")
    plan = bench.plan()
    assert len(bench.process(plan)) == 1
    assemble_job(bench.pfs, plan.job_id)
    assert bench.output() == {"/cat": b"1\n20\n", "/dog": b"1\n", "/emu": b"20\n"}
    bench.pfs.delete_file("images@master:/a")
    bench.run()
    assert bench.output() == {"/cat": b"20\n", "/emu": b"20\n"}


def test_append_joins_large_parts_without_loss(bench):
    sizes = {"a": 3_000_000, "b": 10, "c": 5_000_000}
    bench.document["on_collision"] = "append"
    bench.code = lambda inputs: {"all": next(iter(inputs["images"])).encode() * sizes[next(iter(inputs["images"]))]}
    bench.put(a=b"1", b=b"2", c=b"3")
    bench.run()
    assert bench.output()["/all"] == b"".join(name.encode() * size for name, size in sizes.items())


def test_overwrite_keeps_the_datum_whose_input_comes_last(bench):
    bench.document["on_collision"] = "overwrite"
    bench.put(a=b"cat 1", b=b"cat 2\ndog 2", c=b"dog 3")
    bench.run()
    assert bench.output() == {"/cat": b"2\n", "/dog": b"3\n"}
    bench.pfs.delete_file("images@master:/b")
    bench.run()
    assert bench.output() == {"/cat": b"1\n", "/dog": b"3\n"}


def test_the_last_input_of_a_cross_decides_the_order(bench):
    bench.pfs.create_repo("days")
    for day in ("mon", "tue"):
        bench.pfs.put_file(f"days@master:/{day}", day.encode())
    bench.put(a=b"a", b=b"b")
    bench.document["on_collision"] = "append"
    bench.document["input"] = {
        "cross": [{"pfs": {"repo": "images", "glob": "/*"}}, {"pfs": {"repo": "days", "glob": "/*"}}]
    }
    bench.run(code=lambda inputs: {"log": b"".join([*inputs["images"].values(), *inputs["days"].values(), b" "])})
    assert bench.output() == {"/log": b"amon bmon atue btue "}


@pytest.mark.parametrize(("before", "after"), [("error", "append"), ("append", "overwrite"), ("overwrite", "error")])
def test_the_rule_may_change_between_jobs(bench, before, after):
    bench.document["on_collision"] = before
    bench.put(a=b"cat 1", b=b"dog 2")
    bench.run()
    bench.document["on_collision"] = after
    bench.put(c=b"emu 3")
    plan = bench.plan()
    assert plan.to_run == 1
    bench.process(plan)
    assemble_job(bench.pfs, plan.job_id)
    assert bench.output() == {"/cat": b"1\n", "/dog": b"2\n", "/emu": b"3\n"}


def test_append_to_overwrite_recomputes_paths_that_did_not_change(bench):
    bench.document["on_collision"] = "append"
    bench.put(a=b"cat 1", b=b"cat 2")
    bench.run()
    bench.document["on_collision"] = "overwrite"
    bench.run()
    assert bench.output() == {"/cat": b"2\n"}
