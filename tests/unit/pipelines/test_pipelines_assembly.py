"""Assembly in small pieces comes to what it comes to in one."""

import pytest

from airflow_pachy.errors import DatumFailed
from airflow_pachy.metadata.models import Job, Pipeline
from airflow_pachy.pfs.tree import Layout, NodeRef, Tree
from airflow_pachy.pipelines import (
    assemble_job,
    comparison,
    list_job_datums,
    memory,
    outputs,
    parts,
    results,
    selection,
    settling,
)
from airflow_pachy.testing.pipelines import CodeFailed


@pytest.fixture(params=["in one piece", "in small pieces"])
def pieces(request, monkeypatch):
    if request.param == "in small pieces":
        monkeypatch.setattr(outputs.OutputBuilder.__init__, "__defaults__", (3, *_factories()))
        monkeypatch.setattr(parts.combine, "__kwdefaults__", {"batch_files": 3})
        monkeypatch.setattr(parts, "_BATCH", 2)
        monkeypatch.setitem(Tree.__init__.__kwdefaults__, "layout", Layout(4, 4))
        for module in (comparison, memory, selection, settling):
            monkeypatch.setattr(module, "MANY_ROWS", 3)
        monkeypatch.setattr(results, "_BATCH", 2)
        monkeypatch.setattr(selection, "_BATCH", 2)
    return request.param


def _factories():
    return outputs.OutputBuilder.__init__.__defaults__[1:]


def words(inputs):
    """Each word of a file is a path that its line goes to."""
    found = {}
    for files in inputs.values():
        for path, content in files.items():
            for word in content.decode().split():
                found[word] = found.get(word, b"") + f"{path} ".encode()
    return found


@pytest.mark.parametrize("rule", ["append", "overwrite"])
def test_parts_are_combined(bench, pieces, rule):
    bench.code = words
    bench.document["on_collision"] = rule
    texts = {f"f{number:02d}": [f"w{number % 7}", f"w{number % 5}", f"own{number}"] for number in range(20)}
    bench.put(**{name: " ".join(found).encode() for name, found in texts.items()})
    bench.run()
    assert bench.output() == expected(texts, rule)
    # One path loses a part, one is gone, one is new.
    texts["f03"] = ["w3", "fresh"]
    texts["f20"] = ["w0", "own20"]
    bench.put(f03=b"w3 fresh", f20=b"w0 own20")
    bench.run()
    assert bench.output() == expected(texts, rule)


def expected(texts, rule):
    found = {}
    for name in sorted(texts):
        for word in dict.fromkeys(texts[name]):
            own = f"{name} ".encode() * texts[name].count(word)
            found[f"/{word}"] = own if rule == "overwrite" else found.get(f"/{word}", b"") + own
    return found


def test_files_are_put_and_removed(bench, pieces):
    bench.put(**{f"f{number:02d}": b"x%d" % number for number in range(20)})
    bench.run()
    assert bench.output() == {f"/f{number:02d}": b"X%d" % number for number in range(20)}
    with bench.pfs.commit("images@master") as commit:
        for number in range(0, 20, 2):
            commit.delete_file(f"/f{number:02d}")
        commit.put_file("/f01", b"new")
    bench.run()
    assert bench.output() == {"/f01": b"NEW"} | {f"/f{number:02d}": b"X%d" % number for number in range(3, 20, 2)}


def test_a_failure_keeps_what_an_earlier_success_says(bench):
    bench.put(a=b"1", b=b"2")
    plan = bench.plan("run1")
    bench.process(plan)

    def fail(inputs):
        raise CodeFailed("last\0words")

    # A zombie pod fails what another pod has done.
    bench.process(plan, fail, attempt="0002")
    job = bench.run("run1")
    assert (job.state, job.datums_processed, job.datums_failed) == ("success", 2, 0)


def test_what_is_done_is_remembered_beside_what_failed(bench, pieces):
    def only_even(inputs):
        files = upper_of(inputs)
        if int(next(iter(files.values()))) % 2:
            raise CodeFailed("odd")
        return files

    texts = {f"f{number:02d}": b"%d" % number for number in range(20)}
    bench.put(**texts)
    plan = bench.plan("run1")
    bench.process(plan, only_even)
    with pytest.raises(DatumFailed, match="10 of 20 datums failed"):
        assemble_job(bench.pfs, plan.job_id)
    states = [one.state for one in list_job_datums(bench.pfs, plan.job_id)]
    assert states == ["failed"] * 10 + ["success"] * 10
    # The memory has the failures of the first try and the successes of both when the second job adds its own.
    assert bench.run("run1", upper_of).datums_processed == 20
    bench.put(f20=b"20", f00=b"100")
    again = bench.run("run2", upper_of)
    assert (again.datums_processed, again.datums_skipped) == (2, 19)
    assert bench.output() == {f"/{name}": body for name, body in {**texts, "f20": b"20", "f00": b"100"}.items()}
    bench.put(**texts)
    assert bench.plan("run3").to_run == 0


def upper_of(inputs):
    return {path: content.upper() for files in inputs.values() for path, content in files.items()}


def test_the_tree_of_a_first_job_is_the_memory_of_its_pipeline(bench):
    bench.put(a=b"1", b=b"2")
    first = bench.run()
    assert roots(bench.pfs, first.id)[0] == roots(bench.pfs, first.id)[1]
    bench.put(a=b"3")
    second = bench.run()
    memory, datums = roots(bench.pfs, second.id)
    # The job has two datums, the pipeline has seen three.
    assert (memory.rows, datums.rows) == (3, 2)


def roots(pfs, job):
    with pfs.metadata.reader() as session:
        return [NodeRef.parse(text) for text in (session.get(Pipeline, "edges").memory, session.get(Job, job).datums)]


def test_each_datum_of_a_job_that_is_all_new_has_its_own_reason(bench, pieces):
    texts = {f"f{number:02d}": b"%d" % number for number in range(20)}
    bench.put(**texts)
    first = f"done in job {bench.run().id}"
    bench.put(f20=b"20", **{name: b"x" + body for name, body in list(texts.items())[:15]})
    plan = bench.plan()
    reasons = {one.inputs[0][1]: (one.state, one.reason) for one in list_job_datums(bench.pfs, plan.job_id)}
    assert reasons == {
        **{f"/f{number:02d}": ("pending", f"changed: /f{number:02d}") for number in range(15)},
        **{f"/f{number:02d}": ("skipped", first) for number in range(15, 20)},
        "/f20": ("pending", "new"),
    }
    bench.process(plan)
    assemble_job(bench.pfs, plan.job_id)
    other = bench.plan(spec={"code_version": "2"})
    found = list(list_job_datums(bench.pfs, other.job_id))
    assert [(one.state, one.reason) for one in found] == [("pending", "new")] * 21
