"""Many datums in one process: who succeeds, who fails and alone, what is recorded of each."""

import secrets

import pytest

from airflow_pachy.pfs.content import ContentReader, ContentWriter
from airflow_pachy.pfs.objects import MemoryStore
from airflow_pachy.pfs.tree import Entry, Put, Tree, sorted_changes
from airflow_pachy.worker.local import LocalRunner, NamespaceRefused
from airflow_pachy.worker.outcome import ExitCode, WorkerOptions, new_attempt
from airflow_pachy.worker.plan import DatumPlan, InputPlan, SetPlan, TransformPlan
from airflow_pachy.worker.records import DatumResult, ResultWriter, read_set_results
from airflow_pachy.worker.run import run_set


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def plan(store):
    def make(script, count=6, **details):
        with ContentWriter(store) as writer:
            files = [Entry(f"f{number}", writer.write(b"%d" % number)) for number in range(count)]
        tree = str(Tree(store, None).apply(sorted_changes([Put(entry) for entry in files])).root)
        datums = tuple(
            DatumPlan(f"{number:032x}", (InputPlan("in", "repo", "master", "c" * 32, tree, f"f{number}"),))
            for number in range(count)
        )
        job = secrets.token_hex(4)
        transform = TransformPlan(cmd=("sh", "-uc", script), **{"batch": 4, **details})
        return SetPlan(job, "0", "p", "o" * 32, transform, f"jobs/{job}/0", datums)

    return make


@pytest.fixture
def run(store):
    def run(plan, **options):
        lines = []
        try:
            with LocalRunner(1, log=lines.append, kill_grace_seconds=0.5) as runner:
                outcome = run_set(store, plan, runner, WorkerOptions(**options))
        except NamespaceRefused as error:
            pytest.skip(str(error))
        results = {int(one.datum, 16): one for one in read_set_results(store, plan.results_prefix)}
        starts = [line for line in lines if line.endswith("go")]
        return outcome, [results[number] for number in sorted(results)], len(starts)

    return run


def outputs(store, result):
    reader = ContentReader(store)
    return {entry.path: reader.read(entry.content) for entry in result.outputs}


def test_a_command_runs_once_for_many_datums(store, plan, run):
    told = 'echo "$in_COMMIT $PPS_PIPELINE_NAME" > $d/out/commit'
    script = f"echo go; for d in /pfs/batch/*/; do cp $d/in/* $d/out/; {told}; done"
    outcome, results, starts = run(plan(script))
    assert (outcome.success, outcome.exit_code, starts) == (6, ExitCode.DONE, 2)
    assert [outputs(store, one) for one in results] == [
        {f"f{number}": b"%d" % number, "commit": b"c" * 32 + b" p\n"} for number in range(6)
    ]
    assert [(one.tries, one.exit_code, one.download_bytes) for one in results] == [(1, 0, 1)] * 6
    assert all(one.process_us > 0 for one in results)
    assert {entry.datum for one in results for entry in one.outputs} == {one.datum for one in results}


def test_a_datum_that_the_code_blames_fails_alone(store, plan, run):
    script = (
        'echo go; for d in $PACH_BATCH/*/; do [ -e $d/in/f2 ] && echo "bad pixels" > $d/error; echo x > $d/out/x; done'
    )
    outcome, results, starts = run(plan(script, datum_tries=2))
    assert (outcome.success, outcome.failed, outcome.exit_code) == (5, 1, ExitCode.DATUMS_FAILED)
    assert [one.state for one in results] == ["success", "success", "failed", "success", "success", "success"]
    assert (results[2].tries, results[2].reason) == (2, "the command said: bad pixels")
    assert starts == 3


def test_a_datum_that_takes_the_process_down_is_found_by_running_each_alone(plan, run):
    script = "echo go; for d in $PACH_BATCH/*/; do [ -e $d/in/f1 ] && echo last words && exit 3; touch $d/done; done"
    outcome, results, starts = run(plan(script, datum_tries=1))
    assert (outcome.success, outcome.failed) == (5, 1)
    assert (results[1].state, results[1].tries, results[1].exit_code) == ("failed", 1, 3)
    assert "exit code 3" in results[1].reason
    assert "last words" in results[1].log_tail
    # The first datum was done before the end, so only three are run again.
    assert starts == 1 + 3 + 1


def test_a_batch_that_is_too_slow_is_ended_and_its_datums_run_alone(plan, run):
    script = "echo go; for d in $PACH_BATCH/*/; do [ -e $d/in/f0 ] && sleep 30; touch $d/done; done"
    outcome, results, _starts = run(plan(script, count=2, datum_tries=1, datum_timeout_seconds=0.3))
    assert (outcome.success, outcome.failed) == (1, 1)
    assert "datum_timeout" in results[0].reason


def test_err_cmd_rescues_datums_of_a_batch(plan, run):
    script = "for d in $PACH_BATCH/*/; do [ -e $d/in/f1 ] && exit 3; done; true"
    outcome, results, _starts = run(plan(script, count=2, datum_tries=1, err_cmd=("true",)))
    assert (outcome.success, outcome.recovered, outcome.exit_code) == (1, 1, ExitCode.DONE)
    assert (results[1].state, results[1].outputs) == ("recovered", ())


def test_accepted_exit_codes_hold_for_the_batch(plan, run):
    outcome, _results, _starts = run(plan("exit 7", accept_return_codes=(7,)))
    assert (outcome.success, outcome.failed) == (6, 0)


def test_links_to_a_datums_own_input_move_no_bytes(store, plan, run):
    script = "for d in $PACH_BATCH/*; do for f in $d/in/*; do ln -s $f $d/out/link; done; done"
    _outcome, results, _starts = run(plan(script, count=2))
    assert [outputs(store, one) for one in results] == [{"link": b"0"}, {"link": b"1"}]
    assert [one.upload_bytes for one in results] == [0, 0]


def test_a_link_to_another_datum_is_refused(plan, run):
    script = "cd $PACH_BATCH; set -- *; ln -s $PACH_BATCH/$2/in/f1 $1/out/link"
    outcome, results, _starts = run(plan(script, count=2))
    assert (outcome.success, outcome.failed) == (1, 1)
    assert "not an input" in results[0].reason


def test_a_directory_that_was_replaced_by_a_link_is_not_read(plan, run):
    script = "cd $PACH_BATCH; set -- *; rm -r $1; ln -s $2 $1"
    outcome, results, _starts = run(plan(script, count=2, datum_tries=1))
    assert (outcome.success, outcome.failed) == (1, 1)
    assert "not the directory that it was" in results[0].reason


def test_a_suspect_of_an_earlier_attempt_has_no_company(store, plan, run):
    one = plan("echo go; for d in $PACH_BATCH/*/; do ls $PACH_BATCH | wc -l > $d/out/company; done", count=4)
    with ResultWriter(store, f"{one.results_prefix}/{new_attempt(1)}") as records:
        records.add(DatumResult(f"{1:032x}", "failed", reason="the user's container died"))
    outcome, results, starts = run(one, attempt=new_attempt(1))
    assert (outcome.success, starts) == (4, 2)
    assert [outputs(store, result)["company"] for result in results] == [b"3\n", b"1\n", b"3\n", b"3\n"]
