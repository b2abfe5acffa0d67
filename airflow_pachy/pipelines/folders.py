"""The pipelines of a folder of spec files, and everything that is wrong with them at once.

An error while a DAG file is parsed is an import error in Airflow's UI, so it is worth naming every file and line that
is to be mended, and not the first alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pfs.address import DEFAULT_BRANCH
from airflow_pachy.pipelines.inputs.fed import fed_inputs
from airflow_pachy.pipelines.reading.sources import SUFFIXES, read_documents
from airflow_pachy.pipelines.spec import PipelineSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_pachy.pipelines.reading.document import Document


@dataclass(frozen=True, slots=True)
class PlacedPipeline:
    """A pipeline and where it is written, `edges.json:12`."""

    spec: PipelineSpec
    where: str


def read_folder(
    folder: str | Path,
    arguments: Mapping[str, str] | None = None,
    defaults: Iterable[Mapping[str, Any] | Document] = (),
) -> list[PlacedPipeline]:
    """The pipelines of all spec files below a folder, or of one file, in the order of their data.

    Raises `FileNotFoundError`, and `InvalidSpec` with all that is wrong, one problem on a line: files that cannot be
    read, fields, names that are taken, outputs of two pipelines, circles.
    """
    found, problems = _read(folder, arguments, defaults)
    problems += problems_together(found)
    if problems:
        raise InvalidSpec("\n".join(problems))
    return in_order(found)


def read_what_is_right(
    folder: str | Path,
    arguments: Mapping[str, str] | None = None,
    defaults: Iterable[Mapping[str, Any] | Document] = (),
) -> tuple[list[PlacedPipeline], list[str]]:
    """The pipelines of a folder with which nothing is wrong, in the order of their data, and all problems.

    Of pipelines that claim one name or output, or read each other in a circle, none is taken: which one is meant is not
    for us to say. Raises `FileNotFoundError`.
    """
    found, problems = _read(folder, arguments, defaults)
    problems += _taken(found)
    names, outputs = Counter(one.spec.name for one in found), Counter(one.spec.output for one in found)
    left = [one for one in found if names[one.spec.name] == 1 and outputs[one.spec.output] == 1]
    while circle := _circle(left):
        problems.append(_describe_circle(circle))
        left = [one for one in left if one not in circle]
    return in_order(left), problems


def _read(
    folder: str | Path, arguments: Mapping[str, str] | None, defaults: Iterable[Mapping[str, Any] | Document]
) -> tuple[list[PlacedPipeline], list[str]]:
    place = Path(folder)
    if not place.exists():
        raise FileNotFoundError(f"there are no pipeline specs at {place}: no such file or folder")
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.suffix in SUFFIXES)
    beneath = list(defaults)
    found: list[PlacedPipeline] = []
    problems: list[str] = []
    for file in files:
        try:
            documents = read_documents(file, arguments)
        except InvalidSpec as error:
            problems.append(str(error))
            continue
        for document in documents:
            try:
                found.append(PlacedPipeline(PipelineSpec.from_document(document, beneath), document.where()))
            except InvalidSpec as error:
                problems.append(str(error))
    return found, problems


def problems_together(pipelines: Iterable[PlacedPipeline]) -> list[str]:
    """What is wrong with pipelines that are right by themselves; one sentence each."""
    try:
        in_order(pipelines)
    except InvalidSpec as error:
        return str(error).splitlines()
    return []


def in_order(pipelines: Iterable[PlacedPipeline]) -> list[PlacedPipeline]:
    """The pipelines, each after those whose output it reads.

    Raises `InvalidSpec` for those that read each other in a circle, and for names and outputs that two of them claim.
    """
    pipelines = list(pipelines)
    if problems := list(_taken(pipelines)):
        raise InvalidSpec("\n".join(problems))
    if circle := _circle(pipelines):
        raise InvalidSpec(_describe_circle(circle))
    by_name = {one.spec.name: one for one in pipelines}
    return [by_name[name] for name in TopologicalSorter(needs(one.spec for one in pipelines)).static_order()]


def _circle(pipelines: Iterable[PlacedPipeline]) -> list[PlacedPipeline]:
    """Pipelines that read each other in a circle, each before one that reads it, the first once more at the end."""
    by_name = {one.spec.name: one for one in pipelines}
    try:
        TopologicalSorter(needs(one.spec for one in by_name.values())).prepare()
    except CycleError as error:
        return [by_name[name] for name in error.args[1]]
    return []


def _describe_circle(circle: list[PlacedPipeline]) -> str:
    names = " -> ".join(f"{one.spec.name!r} ({one.where})" for one in circle)
    return (
        f"{circle[0].where}: pipelines read each other in a circle: {names}. "
        "An arrow points to the reader; none of them could begin"
    )


def on_branch(pipelines: Iterable[PlacedPipeline], branch: str) -> list[PlacedPipeline]:
    """The same pipelines beside themselves: an environment of its own, such as `staging`, on one set of repos.

    Each writes `branch` of its repo instead of master, and reads `branch` of repos that others of them write; other
    data it reads as before. Its name, and that of its DAG, gets `-<branch>`. Branches that specs name stay as they are.
    """
    placed = list(pipelines)
    written = {one.spec.output_repo for one in placed if one.spec.output_branch == DEFAULT_BRANCH}
    return [PlacedPipeline(_moved(one.spec, branch, written), one.where) for one in placed]


def _moved(spec: PipelineSpec, branch: str, written: set[str]) -> PipelineSpec:
    document = spec.to_spec()
    document["pipeline"] = {**document["pipeline"], "name": f"{spec.name}-{branch}"}
    document["output_repo"] = spec.output_repo
    if spec.output_branch == DEFAULT_BRANCH:
        document["output_branch"] = branch
    document["input"] = _moved_input(document["input"], spec.name, branch, written)
    return PipelineSpec.from_dict(document, origin=f"pipeline {spec.name!r} on branch {branch!r}")


def _moved_input(value: Any, pipeline: str, branch: str, written: set[str]) -> Any:
    if isinstance(value, list):
        return [_moved_input(one, pipeline, branch, written) for one in value]
    if not isinstance(value, Mapping):
        return value
    result = {name: _moved_input(one, pipeline, branch, written) for name, one in value.items()}
    leaf = result.get("pfs")
    if isinstance(leaf, dict) and leaf.get("repo") in written and leaf.get("branch", DEFAULT_BRANCH) == DEFAULT_BRANCH:
        leaf["branch"] = branch
    cron = result.get("cron")
    if isinstance(cron, dict) and cron.get("repo") == f"{pipeline}_{cron.get('name')}":
        del cron["repo"]  # ticks of its own, in the repo that is named after it
    return result


def needs(specs: Iterable[PipelineSpec]) -> dict[str, set[str]]:
    """By pipeline, those of them whose output it reads."""
    known = list(specs)
    writers = {spec.output: spec.name for spec in known}
    return {spec.name: {writers[branch] for branch in branches_read(spec) if branch in writers} for spec in known}


def branches_read(spec: PipelineSpec) -> set[str]:
    """The branches, `repo@branch`, that a pipeline reads as they move."""
    return {f"{leaf.repo}@{leaf.branch}" for leaf in spec.input.leaves() if leaf.commit is None}


def unknown_repos(pipelines: Iterable[PlacedPipeline], known: set[str]) -> list[str]:
    """What is wrong with pipelines that read repos which neither are `known` nor written by one of them."""
    placed = list(pipelines)
    written = {one.spec.output_repo for one in placed}
    return [f"{one.where}: {problem}" for one in placed for problem in _missing(one.spec, known | written)]


def _missing(spec: PipelineSpec, known: set[str]) -> Iterator[str]:
    own = {one.leaf.repo for one in fed_inputs(spec.input)}
    for repo in sorted({leaf.repo for leaf in spec.input.leaves()} - own - known):
        yield (
            f"pipeline {spec.name!r} reads the repo {repo!r}, which does not exist and which no pipeline here writes; "
            f"make it with: pachy create repo {repo}"
        )


def _taken(found: Iterable[PlacedPipeline]) -> Iterator[str]:
    """Names, and output branches, that two pipelines claim."""
    names: dict[str, str] = {}
    outputs: dict[str, PlacedPipeline] = {}
    for one in found:
        name, output = one.spec.name, one.spec.output
        if name in names:
            yield f"{one.where}: pipeline {name!r} is defined twice, also at {names[name]}; rename one of them"
            continue
        names[name] = one.where
        if output in outputs:
            other = outputs[output]
            yield (
                f"{one.where}: pipeline {name!r} writes {output}, as pipeline {other.spec.name!r} at {other.where} "
                "does; give one of them another output_repo or output_branch"
            )
            continue
        outputs[output] = one
