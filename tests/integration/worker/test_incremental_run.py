"""Datums that go on from their last output, through the local runner."""

import secrets

import pytest

from airflow_pachy.pfs.content import ContentReader, ContentWriter
from airflow_pachy.pfs.objects import MemoryStore
from airflow_pachy.pfs.tree import Entry, Put, Tree, sorted_changes
from airflow_pachy.worker.local import LocalRunner, NamespaceRefused
from airflow_pachy.worker.outcome import ExitCode
from airflow_pachy.worker.plan import (
    DatumPlan,
    DatumResult,
    InputPlan,
    ResultWriter,
    SetPlan,
    TransformPlan,
    decode_plan,
    encode_plan,
)
from airflow_pachy.worker.records import read_set_results
from airflow_pachy.worker.run import run_set

OLD, NEW = "a" * 32, "b" * 32
RECORD = "jobs/earlier/0/1/000000.parquet"
LAST = {"sum": b"3", "a/f": b"A" * 3000, "b/f": b"B" * 3000, "tool.sh": b"#!/bin/sh\n"}


@pytest.fixture
def store():
    return MemoryStore()


def entries(store, files, datum=None):
    with ContentWriter(store) as writer:
        found = [
            Entry(path, writer.write(body), path.endswith(".sh"), datum, 1_000_000) for path, body in files.items()
        ]
    return sorted(found, key=lambda entry: entry.path)


def tree_of(store, files):
    changes = sorted_changes([Put(entry) for entry in entries(store, files)])
    return str(Tree(store, None).apply(changes).root)


@pytest.fixture
def plan(store):
    """A datum `in:/D` that has D/1 to D/3 and had D/1 and an older D/2, when its output was `LAST`."""
    new = tree_of(store, {"D/1": b"1", "D/2": b"20", "D/3": b"3", "D10/x": b"9"})
    old = tree_of(store, {"D/1": b"1", "D/2": b"2"})
    other = tree_of(store, {"whole": b"w"})
    with ResultWriter(store, RECORD.rpartition("/")[0]) as records:
        records.add(DatumResult("0" * 32, "success"))
        records.add(DatumResult(OLD, "success", outputs=tuple(entries(store, LAST, OLD))))

    def make(script, *, row=1, **transform):
        inputs = (
            InputPlan("in", "repo", "master", "c" * 32, new, "D", before=old, lazy=transform.pop("lazy", False)),
            InputPlan("same", "repo", "dev", "c" * 32, old, "D", before=old),
            InputPlan("params", "params", "master", "d" * 32, other, ""),
        )
        job = secrets.token_hex(4)
        code = TransformPlan(cmd=("sh", "-euc", script), **transform)
        datums = (DatumPlan(NEW, inputs, (OLD, RECORD, row)),)
        one = SetPlan(job, "0", "p", "o" * 32, code, f"jobs/{job}/0", datums)
        assert decode_plan(encode_plan(one)) == one
        return one

    return make


@pytest.fixture
def run(store):
    def run(plan):
        try:
            with LocalRunner(log=lambda line: None, kill_grace_seconds=0.5) as runner:
                outcome = run_set(store, plan, runner)
        except NamespaceRefused as error:
            pytest.skip(str(error))
        return outcome, list(read_set_results(store, plan.results_prefix))

    return run


def outputs(store, result):
    reader = ContentReader(store)
    return {entry.path: reader.read(entry.content) for entry in result.outputs}


def test_new_files_and_the_last_output_are_there(store, plan, run):
    # The code may run as any user, and changes what it finds in out.
    modes = 'test "$(stat -c %a /pfs/out/sum /pfs/out/tool.sh /pfs/out/a | xargs)" = "666 777 777"'
    script = modes + '; ls $in $same; cd /pfs; seen=$(find . -type f); echo "$seen" > /pfs/out/seen'
    outcome, (result,) = run(plan(script))
    assert outcome.success == 1, outcome
    found = outputs(store, result)
    assert sorted(found.pop("seen").decode().split()) == [
        *("./in/D/2", "./in/D/3", "./out/a/f", "./out/b/f", "./out/sum", "./out/tool.sh"),
        "./params/whole",
    ]
    assert found == LAST
    assert {entry.datum for entry in result.outputs} == {NEW}
    assert [entry.path for entry in result.outputs if entry.executable] == ["tool.sh"]


def test_what_the_code_leaves_alone_is_not_uploaded_again(store, plan, run):
    script = "cd /pfs/out; echo 10 > sum; rm tool.sh; mv a ../t; mv b a; mv ../t b"
    _outcome, (result,) = run(plan(script))
    # Two directories have changed places, which leaves no trace in their files.
    assert outputs(store, result) == {"sum": b"10\n", "a/f": b"B" * 3000, "b/f": b"A" * 3000}
    _outcome, (result,) = run(plan("echo 10 > /pfs/out/sum"))
    assert outputs(store, result) == {**LAST, "sum": b"10\n"}
    assert result.upload_bytes == 3
    kept = {entry.path: entry.content for entry in entries(store, LAST)}
    assert all(entry.content.hash == kept[entry.path].hash for entry in result.outputs if entry.path != "sum")
    assert result.download_bytes == len(b"20" + b"3" + b"w") + sum(map(len, LAST.values()))


@pytest.mark.parametrize("batch", [0, 10])
def test_another_try_begins_with_the_last_output_again(store, plan, run, batch):
    script = (
        "cd /pfs; if [ -e batch ]; then cd batch/*; fi; n=$(cat out/sum); cat in/D/* > /dev/null; "
        'echo "$n+" > out/sum; '
        "rm -f out/a/f; echo half > out/half; if [ ! -e /tmp/$PACH_JOB_ID ]; then touch /tmp/$PACH_JOB_ID; exit 1; fi; "
        "rm out/half /tmp/$PACH_JOB_ID"
    )
    outcome, (result,) = run(plan(script, batch=batch))
    assert (outcome.success, result.tries) == (1, 2), result
    assert outputs(store, result) == {"sum": b"3+\n", "b/f": LAST["b/f"], "tool.sh": LAST["tool.sh"]}


def test_lazy_inputs_show_pipes_for_new_files_only(store, plan, run):
    _outcome, (result,) = run(plan("cat $in/* > /pfs/out/sum; ls $in >> /pfs/out/sum", lazy=True))
    assert outputs(store, result)["sum"] == b"2032\n3\n"


def test_a_record_that_is_gone_or_another_ends_the_set_and_says_so(store, plan, run):
    outcome, results = run(plan("true", row=0))
    assert (outcome.exit_code, results) == (ExitCode.STAGING_FAILED, [])
    assert f"does not hold the output of datum {OLD} in row 0" in outcome.error
    store.delete([RECORD])
    outcome, results = run(plan("true"))
    assert (outcome.exit_code, results) == (ExitCode.STAGING_FAILED, [])
    assert "run the job again with `reprocess`" in outcome.error
