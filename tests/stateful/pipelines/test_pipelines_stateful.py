"""The job engine against a naive model that recomputes everything from the present input.

Whatever the order of puts, deletes, jobs, failures, dead pods, retries, repeated assemblies and cleared runs:
the output commit is what a run over all files from scratch would make, and no datum runs that has
succeeded before.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import func, select

from airflow_pachy.errors import JobFailed, OutputCollision, PathConflict
from airflow_pachy.metadata.models import Commit
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import (
    JobRequest,
    PipelineSpec,
    PlanTry,
    assemble_job,
    fail_job,
    inspect_job,
    list_job_datums,
    plan_job,
)
from airflow_pachy.testing.pipelines import CodeFailed, InProcessRunner

pytestmark = pytest.mark.slow

INPUT = {"pfs": {"repo": "in", "glob": "/*"}}
STORES = itertools.count()

# Names of files and directories never clash: directories are upper case.
paths = st.sampled_from(["a", "b", "c", "d", "D/a", "D/b", "E/a"])
# Each line of an input file is one output: `path value`; `own` becomes a name that no other file writes to.
targets = st.sampled_from(["own", "own", "own", "own2", "own/t", "shared", "shared2", "s/t"])
lines = st.tuples(targets, st.sampled_from("xyz"))
contents = st.lists(lines, min_size=1, max_size=3).map(lambda pairs: "".join(f"{a} {b}\n" for a, b in pairs).encode())
edits = st.lists(st.tuples(paths, st.one_of(contents, contents, st.none())), min_size=1, max_size=4)


def compute(files):
    """The user's code: a pure function of the files of one datum."""
    outputs: dict[str, bytes] = {}
    for path in sorted(files):
        for line in files[path].decode().splitlines():
            target, value = line.replace("own", f"by-{path}").split()
            outputs[target] = outputs.get(target, b"") + f"{path}={value};".encode()
    return outputs


def datums_of(files):
    """By datum path, the files of the datum, as the glob /* makes them."""
    grouped: dict[str, dict[str, bytes]] = {}
    for path in sorted(files):
        grouped.setdefault(path.split("/")[0], {})[path] = files[path]
    return grouped


def naive_output(files, on_collision):
    """The whole output recomputed, or the name of the error it must end with."""
    combined: dict[str, bytes] = {}
    for _, own in sorted(datums_of(files).items()):
        for path, content in compute(own).items():
            if path in combined and on_collision == "error":
                return OutputCollision
            combined[path] = combined.get(path, b"") + content if on_collision == "append" else content
    if any(path.startswith(f"{other}/") for path in combined for other in combined):
        return PathConflict
    return combined


class JobMachine(RuleBasedStateMachine):
    on_collision = "error"

    @initialize()
    def start(self):
        self.pfs = Pfs.open(f"memory://stateful-{next(STORES)}", "sqlite://")
        self.pfs.create_repo("in")
        self.files: dict[str, bytes] = {}
        self.expected: dict[str, bytes] = {}
        self.done: set[tuple] = set()
        self.runs = itertools.count(1)
        self.attempts = itertools.count(1)
        self.tries, self.clears = itertools.count(1), itertools.count(1)
        self.published: set[str] = set()
        with self.pfs.commit("in@master"):
            pass
        self.spec = PipelineSpec.from_dict(
            {
                "pipeline": {"name": "out"},
                "transform": {"cmd": ["x"]},
                "input": INPUT,
                "datum_set_spec": {"number": 2},
                "output_repo": "result",
                "on_collision": self.on_collision,
            }
        )

    def teardown(self):
        if hasattr(self, "pfs"):
            self.pfs.close()

    @rule(changes=edits)
    def edit_input(self, changes):
        with self.pfs.commit("in@master") as commit:
            for path, content in changes:
                if content is None:
                    self.files.pop(path, None)
                    commit.delete_file(f"/{path}")
                else:
                    self.files[path] = content
                    commit.put_file(f"/{path}", content)

    @rule(changes=edits)
    def edit_input_and_run(self, changes):
        self.edit_input(changes)
        self.run(None, retries=0, reprocess=False, twice=False, give_up=False)

    @rule(
        data=st.data(), retries=st.integers(0, 2), reprocess=st.booleans(), twice=st.booleans(), give_up=st.booleans()
    )
    def run_job(self, data, retries, reprocess, twice, give_up):
        self.run(data, retries=retries, reprocess=reprocess, twice=twice, give_up=give_up)

    @precondition(lambda self: getattr(self, "published", None))
    @rule(data=st.data(), retries=st.integers(0, 1), reprocess=st.booleans(), give_up=st.booleans())
    def clear_run(self, data, retries, reprocess, give_up):
        run = data.draw(st.sampled_from(sorted(self.published)))
        self.run(data, retries=retries, reprocess=reprocess, twice=False, give_up=give_up, cleared=run)

    def run(self, data, *, retries, reprocess, twice, give_up, cleared=None):
        """One Airflow run: attempts with bad datums or dead pods, then a good one unless it is given up."""
        run = cleared or f"run{next(self.runs)}"
        self.published.discard(run)
        wanted = datums_of(self.files)
        remaining = {self.key(path): path for path in wanted if reprocess or self.key(path) not in self.done}
        for attempt in range(retries + 1):
            task = PlanTry(next(self.tries), cleared=0 if cleared is None else next(self.clears))
            plan = plan_job(self.pfs, JobRequest(self.spec, "dag", run, "stage", reprocess=reprocess, task=task))
            assert (plan.total, plan.to_run) == (len(wanted), len(remaining))
            assert plan.attempt == attempt + 1
            last = attempt == retries and not give_up
            bad = data.draw(st.sets(st.sampled_from(sorted(wanted)))) if wanted and not last else set()
            for key in plan.sets:
                dies_after = None if last else data.draw(st.sampled_from([None, None, 1]))
                processed = self.process(key, bad, dies_after)
                assert set(processed) <= set(remaining)
                for datum in set(processed):
                    if remaining[datum] not in bad:
                        del remaining[datum]
                        self.done.add(datum)
            if remaining:
                self.expect_failure(plan, data.draw(st.booleans()))
                continue
            self.assemble(plan, twice)
            if inspect_job(self.pfs, plan.job_id).state == "success":
                self.published.add(run)
            return

    def key(self, path):
        return (path, tuple(sorted(datums_of(self.files)[path].items())))

    def process(self, key, bad, dies_after):
        seen = []

        def code(inputs):
            files = inputs["in"]
            path = min(files).split("/")[0]
            seen.append((path, tuple(sorted(files.items()))))
            if path in bad:
                raise CodeFailed(f"{path} is bad")
            return compute(files)

        runner = InProcessRunner(self.pfs, code)
        runner.run_set(key, attempt=f"{next(self.attempts):06d}", only_first=dies_after)
        return seen

    def expect_failure(self, plan, through_assembly):
        head = self.head()
        if through_assembly:
            with pytest.raises(JobFailed):
                assemble_job(self.pfs, plan.job_id)
        else:
            fail_job(self.pfs, plan.job_id, "given up")
        assert inspect_job(self.pfs, plan.job_id).state == "failed"
        assert self.pfs.inspect_commit(f"result@{plan.output_commit}").state == "error"
        assert self.head() == head

    def assemble(self, plan, twice):
        expected = naive_output(self.files, self.on_collision)
        if isinstance(expected, type):
            # A collision or a conflict, whichever is found first.
            with pytest.raises((OutputCollision, PathConflict)):
                assemble_job(self.pfs, plan.job_id)
            assert inspect_job(self.pfs, plan.job_id).state == "failed"
            return
        job = assemble_job(self.pfs, plan.job_id)
        if twice:
            assert assemble_job(self.pfs, plan.job_id) == job
        assert self.head() == job.output_commit == plan.output_commit
        assert job.datums_total == job.datums_processed + job.datums_skipped
        listed = list(list_job_datums(self.pfs, job.id))
        assert len(listed) == job.datums_total
        assert sum(one.state == "skipped" for one in listed) == job.datums_skipped
        self.expected = expected

    def head(self):
        branches = {one.name: one.head for one in self.pfs.list_branches("result")}
        return branches.get("master")

    @invariant()
    def output_is_the_naive_one(self):
        if hasattr(self, "pfs") and any(repo.name == "result" for repo in self.pfs.list_repos()) and self.head():
            files = [one for one in self.pfs.walk_file("result@master:/") if one.type == "file"]
            output = {one.path[1:]: self.pfs.get_file(f"result@master:{one.path}") for one in files}
            assert output == self.expected

    @invariant()
    def no_commit_stays_open(self):
        if hasattr(self, "pfs"):
            with self.pfs.metadata.reader() as session:
                opened = select(func.count()).where(Commit.repo == "result", Commit.state == "open")
                assert session.scalar(opened) == 0


class AppendMachine(JobMachine):
    on_collision = "append"


class OverwriteMachine(JobMachine):
    on_collision = "overwrite"


common = settings(max_examples=12, stateful_step_count=10)
TestJobs = JobMachine.TestCase
TestJobs.settings = common
TestAppend = AppendMachine.TestCase
TestAppend.settings = common
TestOverwrite = OverwriteMachine.TestCase
TestOverwrite.settings = common
