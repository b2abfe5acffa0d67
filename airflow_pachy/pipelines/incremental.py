"""Incremental pipelines: a datum whose input has grown begins with its own last output and sees only what is new.

The last output is that of the job on which the new one builds, and so is the version of the input that it is compared
with; the datum of that job in the same place (the same paths, the same key of a group) is the one that goes on.
What cannot be told by adding is run from scratch: files that are gone, an input that is always shown whole, a
branch that went back, other code. Which datum does what is decided here, once, and is in its row and its plan; the
worker finds the files.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from airflow_pachy.metadata.models import Job, PipelineVersion
from airflow_pachy.pfs.ancestry import ancestors
from airflow_pachy.pfs.root import tree_text
from airflow_pachy.pfs.tree import File
from airflow_pachy.pipelines.datums_table import flatten, per_datum
from airflow_pachy.pipelines.inputs import GroupInput
from airflow_pachy.pipelines.inputs.keys import key_filler
from airflow_pachy.pipelines.rows_table import bodies_of, fields_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pyarrow as pa
    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pipelines.datums_table import LeafKey, Leaves
    from airflow_pachy.pipelines.inputs import Input, PfsInput, Sources
    from airflow_pachy.pipelines.registry import RegisteredPipeline
    from airflow_pachy.pipelines.spec import PipelineSpec

# A changed value of one of these is another program, whose files the one before may not have written.
_CODE = ("image", "cmd", "stdin", "working_dir")

Place = frozenset[tuple[str, str]]


class Start(NamedTuple):
    """How a datum that was processed before begins: `previous` as in a `DatumPlan`, None from scratch; and why."""

    previous: tuple[str, str, int] | None
    note: str


class _Item(NamedTuple):
    """One input of a datum; `hash` is a prefix in hex, as rows have it."""

    name: str
    path: str
    hash: str


class _Versions(NamedTuple):
    new: Tree
    old: Tree


@dataclass(frozen=True, slots=True)
class _Former:
    """A datum of the earlier job: where its output is recorded, and what it had read."""

    id: str
    job: str
    record: str
    row: int
    items: dict[tuple[str, str], str]


@dataclass(frozen=True)
class Continuation:
    """Decides where datums begin. `hindrance` says why all of them begin from scratch, if they do."""

    node: Input
    new: Sources
    old: Sources | None
    hindrance: str = ""

    def starts(self, to_run: pa.Table, leaves: Leaves, vanished: pa.Table) -> dict[str, Start]:
        """By id, those of the datums `to_run` that take the place of one that `vanished`; all others are new."""
        if not vanished.num_rows or not to_run.num_rows:
            return {}
        places = _Places(self.node)
        former = _by_place((places.of(one.items), one) for one in map(_former, bodies_of(vanished)))
        flat = flatten(to_run)
        pieces = [
            (leaf, _Item(leaves.keys[leaf].name, path, digest[:8].hex()))
            for leaf, path, digest in zip(flat.leaf, flat.path, flat.hash, strict=True)
        ]
        datums = per_datum(flat, pieces)
        placed = [places.of((item.name, item.path) for _leaf, item in datum) for datum in datums]
        competing = Counter(placed)
        ids: list[str] = to_run["id"].to_pylist()  # type: ignore[assignment]  # ids are never null
        found: dict[str, Start] = {}
        for key, datum, place in zip(ids, datums, placed, strict=True):
            one = former.get(place)
            if one is not None and competing[place] == 1:
                found[key] = self._start(one, [(leaves.keys[leaf], item) for leaf, item in datum])
        return found

    def trees(self, leaves: Leaves) -> dict[int, str]:
        """By number of the leaf, the tree that worker compares with; none for inputs that are always shown whole."""
        if self.old is None or self.hindrance:
            return {}
        versions = self._versions
        found = {}
        for number, leaf in enumerate(leaves.keys):
            both = versions.get(leaf[:4])
            if both is not None:
                found[number] = tree_text(both.old) or ""
        return found

    @property
    def _versions(self) -> Mapping[tuple[str, ...], _Versions]:
        """The trees of inputs that are not always shown whole, by name, repo, branch and commit."""
        if self.old is None:
            return {}
        return {
            (leaf.name, leaf.repo, leaf.branch, self.new.by_leaf[leaf.source].commit): _Versions(
                self.new.by_leaf[leaf.source].tree, self.old.by_leaf[leaf.source].tree
            )
            for leaf in self.node.leaves()
            if leaf.incremental
        }

    def _start(self, former: _Former, items: list[tuple[LeafKey, _Item]]) -> Start:
        total, why = (0, self.hindrance) if self.hindrance else self._new_files(former, items)
        if why:
            return Start(None, f"from scratch: {why}")
        files = "1 new or changed file" if total == 1 else f"{total:,} new or changed files"
        note = f"incremental: {files}, begins with the output of datum {former.id} in job {former.job}"
        return Start((former.id, former.record, former.row), note)

    def _new_files(self, former: _Former, items: list[tuple[LeafKey, _Item]]) -> tuple[int, str]:
        """How many files are new or changed; or why it has to begin from scratch."""
        left = former.items.keys() - {(item.name, item.path) for _leaf, item in items}
        if left:
            return 0, f"{':/'.join(min(left))} was removed"
        total = 0
        versions = self._versions
        for leaf, item in items:
            if former.items.get((item.name, item.path)) == item.hash:
                continue
            both = versions.get(leaf[:4])
            if both is None:
                return 0, f"{item.name}:/{item.path} has changed, and is always shown whole"
            if not _was_read(both.old, item, former):
                return 0, f"{item.name}:/{item.path} was there before, but not in this datum"
            files, why = _compare(both, item.path)
            if why:
                return 0, why
            total += files
        return total, ""


def continuation(
    pfs: Pfs,
    spec: PipelineSpec,
    pipeline: RegisteredPipeline,
    base_job: str | None,
    versions: tuple[Sources, Sources | None],
) -> Continuation | None:
    """How datums go on from those of the job `base_job`; None if nothing was published yet.

    `versions` are the sources that the new job reads and those that the base has read, None if its datums are not
    comparable.
    """
    if base_job is None:
        return None
    new, old = versions
    if old is None:
        changed = "the input, the salt or code_version has changed, or a commit was deleted"
        return Continuation(spec.input, new, None, f"{changed} since job {base_job}")
    with pfs.metadata.reader() as session:
        hindrance = _other_code(session, spec, pipeline, base_job) or _not_a_descendant(session, spec.input, new, old)
    return Continuation(spec.input, new, old, hindrance)


def _other_code(session: Session, spec: PipelineSpec, pipeline: RegisteredPipeline, base_job: str) -> str:
    job = session.get(Job, base_job)
    if job is None or job.version == pipeline.version:
        return ""
    version = session.get(PipelineVersion, (pipeline.name, job.version))
    before, now = (version.spec if version is not None else {}), spec.to_spec()
    changed = [name for name in _CODE if before.get("transform", {}).get(name) != now["transform"].get(name)]
    if not before.get("incremental"):
        changed.append("incremental")
    return f"{', '.join(changed)} changed since version {job.version} of the pipeline" if changed else ""


def _not_a_descendant(session: Session, node: Input, new: Sources, old: Sources) -> str:
    for leaf in node.leaves():
        now, before = new.by_leaf[leaf.source].commit, old.by_leaf[leaf.source].commit
        if before not in ancestors(session, now):
            return f"{leaf.repo}@{now} does not come after commit {before}, which was processed last"
    return ""


class _Places:
    """Where a datum is: the names and paths of its inputs; but those of a group by their key."""

    def __init__(self, node: Input) -> None:
        groups: dict[str, set[int]] = defaultdict(set)
        fillers: dict[str, Callable[[str], str]] = {}
        for leaf, group in _with_groups(node, count(1)):
            groups[leaf.name].add(group)
            if group:
                fillers[leaf.name] = key_filler(leaf.glob, leaf.group_by)
        # A union may use one name inside a group and elsewhere; then paths have to do.
        self._keys = {
            name: (f"\0{min(groups[name])}", fill) for name, fill in fillers.items() if len(groups[name]) == 1
        }

    def of(self, items: Iterable[tuple[str, str]]) -> Place:
        """The place of a datum with these inputs (name, path)."""
        return frozenset(self._place(name, path) for name, path in items)

    def _place(self, name: str, path: str) -> tuple[str, str]:
        if (found := self._keys.get(name)) is None:
            return name, path
        group, fill = found
        return group, fill(path)


def _with_groups(node: Input, numbers: Iterator[int], group: int = 0) -> Iterator[tuple[PfsInput, int]]:
    """The leaves, each with the number of the group that it is in, or 0."""
    members = getattr(node, "members", None)
    if members is None:
        yield from ((leaf, group) for leaf in node.leaves())
        return
    inside = group or next(numbers) if isinstance(node, GroupInput) else group
    for member in members:
        yield from _with_groups(member, numbers, inside)


def _former(row: tuple[str, bytes]) -> _Former:
    key, body = row
    _state, job, _reason, _error, record, number, inputs = fields_of(body, key)
    fields = [field.decode("utf-8", "surrogateescape") for field in inputs.split(b"\0")]
    items = dict(zip(zip(fields[0::3], fields[1::3], strict=True), fields[2::3], strict=True))
    return _Former(key, job.decode(), record.decode(), int(number), items)


def _by_place(placed: Iterable[tuple[Place, _Former]]) -> dict[Place, _Former]:
    """Without places that two datums had: which of them goes on cannot be told."""
    found: dict[Place, _Former] = {}
    repeated = set()
    for place, one in placed:
        if place in found:
            repeated.add(place)
        found[place] = one
    return {place: one for place, one in found.items() if place not in repeated}


def _was_read(old: Tree, item: _Item, former: _Former) -> bool:
    """Whether what the earlier tree has at the path is what the earlier datum had.

    In a group of a join a file may be new that waited for its partner, and members of a union may share a name.
    """
    read = former.items.get((item.name, item.path))
    was_there = not item.path or old.stat(item.path) is not None
    return (old.hash_of(item.path)[:8].hex() if was_there else None) == read


def _compare(both: _Versions, path: str) -> tuple[int, str]:
    """How many files at or below the path are new or changed; and what was removed, if anything was."""
    below = f"{path}/" if path else ""
    if isinstance(both.new.stat(path), File):
        return (0, f"/{path} was a directory") if both.old.has_prefix(below) else (1, "")
    if path and both.old.get(path) is not None:
        return 0, f"/{path} was a file"
    files = 0
    for change in both.new.diff(both.old, below, contents=False):
        if change.new is None:
            return 0, f"/{change.path} was removed"
        files += 1
    return files, ""
