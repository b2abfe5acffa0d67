"""Lazy files among thousands: filled when opened, each time, whether their pipes are watched or tried one by one."""

import resource
import secrets

import pytest

from airflow_pachy.pfs.content import ContentReader, ContentWriter
from airflow_pachy.pfs.objects import MemoryStore
from airflow_pachy.pfs.tree import Entry, Put, Tree, sorted_changes
from airflow_pachy.worker import lazy
from airflow_pachy.worker.local import LocalRunner, NamespaceRefused
from airflow_pachy.worker.outcome import ExitCode
from airflow_pachy.worker.plan import DatumPlan, InputPlan, SetPlan, TransformPlan
from airflow_pachy.worker.records import read_set_results
from airflow_pachy.worker.run import run_set

COUNT = 3_000


@pytest.fixture
def run():
    store = MemoryStore()

    def run(script):
        with ContentWriter(store) as writer:
            files = [Entry(f"d{number % 7}/f{number}", writer.write(b"content %d" % number)) for number in range(COUNT)]
        tree = str(Tree(store, None).apply(sorted_changes([Put(entry) for entry in files])).root)
        item = InputPlan("in", "repo", "master", "c" * 32, tree, "/", lazy=True)
        transform = TransformPlan(cmd=("sh", "-euc", script), datum_tries=1, datum_timeout_seconds=60)
        job = secrets.token_hex(4)
        plan = SetPlan(job, "0", "p", "o" * 32, transform, f"jobs/{job}/0", (DatumPlan("0" * 32, (item,)),))
        try:
            with LocalRunner(1) as runner:
                outcome = run_set(store, plan, runner)
        except NamespaceRefused as error:
            pytest.skip(str(error))
        (result,) = read_set_results(store, plan.results_prefix)
        reader = ContentReader(store)
        return outcome, {entry.path: reader.read(entry.content) for entry in result.outputs}

    return run


SCRIPT = """
for n in 0 1500 2999; do cat /pfs/in/d$((n % 7))/f$n >> /pfs/out/once; done
cat /pfs/in/d0/f0 /pfs/in/d0/f0 > /pfs/out/twice
head -c 3 /pfs/in/d1/f1 > /pfs/out/start
rm -r /pfs/in/d3
"""


@pytest.mark.parametrize("watched", ["all", "some", "none"])
def test_lazy_files_among_thousands(run, monkeypatch, watched):
    room = {"all": 10**6, "some": 2_000, "none": 0}[watched] + lazy.SPARE_DESCRIPTORS
    granted = lazy.descriptors
    monkeypatch.setattr(lazy, "descriptors", lambda more: min(room, granted(more)))
    outcome, outputs = run(SCRIPT)
    assert outcome.exit_code == ExitCode.DONE
    assert outputs == {
        "once": b"content 0content 1500content 2999",
        "twice": b"content 0content 0",
        "start": b"con",
    }


def test_the_limit_of_open_files_is_raised_as_far_as_it_may_be():
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = lazy.descriptors(COUNT)
    assert enough >= min(COUNT + lazy.SPARE_DESCRIPTORS, hard) or hard == resource.RLIM_INFINITY
