"""What pipelines will make of commits, told by their files: for `pachy flush commit -f`, before they have run once.

A pipeline of a DAG file enters the database with its first job. Airflow parses the file all the time and in many
places, which may be a check in CI or another branch's code on a laptop, so parsing must not write there. Whoever waits
has the files, or knows the outputs, and can say so.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_pachy.cli.pipelines import inputs_of
from airflow_pachy.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.inputs import Input


@dataclass(frozen=True, slots=True)
class Reader:
    """Something that is started by branches and writes one, all as `repo@branch`."""

    reads: frozenset[str]
    output: str


def read_readers(files: Sequence[str], args: Sequence[str], defaults: Sequence[str]) -> Iterator[Reader]:
    """The pipelines of spec files, and the stages of Python files with DAGs, which are executed.

    Raises `InvalidSpec` and `FileNotFoundError`.
    """
    from airflow_pachy.operators.drawing import read_dags
    from airflow_pachy.operators.plan import PlanOperator
    from airflow_pachy.pipelines import PipelineSpec
    from airflow_pachy.pipelines.snapshot import input_of

    specs = [file for file in files if not file.endswith(".py")]
    for one in inputs_of(specs, args, defaults, None) if specs else ():
        if isinstance(one, PipelineSpec) and one.service is None:
            yield Reader(_starting(one.input), one.output)
    for file in files:
        if file.endswith(".py"):
            if not Path(file).is_file():
                raise FileNotFoundError(f"there is no file {file}")
            for dag in read_dags(Path(file)):
                stages = [task for task in dag.tasks if isinstance(task, PlanOperator)]
                # The name of a templated branch is known to its run alone.
                yield from (
                    Reader(_starting(input_of(stage.input)), _full(stage.output_branch))
                    for stage in stages
                    if "{{" not in stage.output_branch
                )


def expected_outputs(
    pfs: Pfs, commits: Sequence[str], readers: Iterable[Reader], to_repos: Sequence[str] = ()
) -> list[str]:
    """The outputs of readers that all of these commits lead to, also through pipelines that the database knows.

    Stopped pipelines make nothing. Raises `NotFound` errors for the commits.
    """
    from airflow_pachy.pipelines.lifecycle import list_pipelines

    stopped = {info.output for info in list_pipelines(pfs) if info.state == "stopped"}
    going = [one for one in readers if one.output not in stopped]
    found = set.intersection(*(_below(pfs, one, going) for one in commits))
    return sorted(one for one in found if not to_repos or one.partition("@")[0] in to_repos)


def _below(pfs: Pfs, commit: str, readers: Sequence[Reader]) -> set[str]:
    info = pfs.inspect_commit(commit)
    named = commit.partition(":")[0].partition("@")[2]
    heads = {str(one) for one in pfs.list_branches(info.repo) if one.head == info.id or one.name == named}
    reached = heads | ({f"{info.repo}@{info.branch}"} if info.branch else set())
    outputs: set[str] = set()
    frontier = reached
    while frontier:
        written = {one.output for one in readers if one.reads & frontier}
        outputs |= written
        known = {below for branch in frontier for below in _known_below(pfs, branch)}
        frontier = (written | known) - reached
        reached = reached | frontier
    return outputs


def _known_below(pfs: Pfs, branch: str) -> Iterable[str]:
    with suppress(NotFound):
        return pfs.inspect_branch(branch).subvenance
    return ()


def _starting(node: Input) -> frozenset[str]:
    """The branches whose commits are processed: not those that are read as they are, or follow others on conditions."""
    leaves = [leaf for leaf in node.leaves() if leaf.commit is None and leaf.trigger is True]
    return frozenset(f"{leaf.repo}@{leaf.branch}" for leaf in leaves)


def _full(branch: str) -> str:
    return branch if "@" in branch else f"{branch}@master"
