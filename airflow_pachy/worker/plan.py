"""Set plans: what one pod is to do, written by the planner and read by the worker.

A plan is one JSON object in the bucket, so a pod needs nothing but its key. A job of a million
datums writes a million rows in a thousand plans, and all rows of one input share the repo, the
branch, the commit and the tree; the codec therefore writes these once, as *sources*, and a datum as
`[id, [source, path], ...]`: some 60 bytes instead of 400. Files are not listed: the worker reads the tree.

Result records, the way back, are in `airflow_pachy.worker.records` and are re-exported here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import Corrupt
from airflow_pachy.worker.records import DatumResult, DatumState, ResultWriter, read_results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_pachy.pfs.objects.store import ObjectStore

__all__ = [
    "PLAN_FORMAT",
    "DatumPlan",
    "DatumResult",
    "DatumState",
    "InputPlan",
    "ResultWriter",
    "SetPlan",
    "Since",
    "TransformPlan",
    "decode_plan",
    "encode_plan",
    "plan_key",
    "read_plan",
    "read_results",
    "write_plan",
]

PLAN_FORMAT = 1
LABEL_INPUTS = 4


@dataclass(frozen=True, slots=True)
class InputPlan:
    """One input of one datum.

    `tree` is the text of the input commit's `NodeRef` (`""` for an empty commit). `path` is a file or a
    directory of that tree; `""` or `"/"` is the whole repo; a leading or trailing slash means nothing.
    It appears as `/pfs/<name>/<path>`. `lazy` files are named pipes filled when first opened,
    `empty_files` are stand-ins without content. `captures`, of inputs that are joined or grouped, are the glob that
    the path matches, and the templates of the join's key and of the group's ("" for none). With `before`, the text of
    an earlier tree, only files that differ from those there appear.
    """

    name: str
    repo: str
    branch: str
    commit: str
    tree: str
    path: str
    lazy: bool = False
    empty_files: bool = False
    captures: tuple[str, str, str] | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class DatumPlan:
    """One datum: its id and its inputs in order. A grouped datum names one input several times.

    `previous`, of incremental pipelines, is the datum whose output is in /pfs/out when it starts: its id, and the
    result record and the row there that tell its output.
    """

    id: str
    inputs: tuple[InputPlan, ...]
    previous: tuple[str, str, int] | None = None

    @property
    def label(self) -> str:
        """Its inputs for people; of many, the first few."""
        named = [f"{item.name}:/{item.path.strip('/')}" for item in self.inputs[:LABEL_INPUTS]]
        more = len(self.inputs) - LABEL_INPUTS
        return ", ".join([*named, f"{more} more"] if more > 0 else named)


@dataclass(frozen=True, slots=True)
class TransformPlan:
    """How to run the user's code on a datum.

    `cmd` is an argv, executed without a shell. `stdin` are lines, joined with newlines and fed to it;
    none means /dev/null. `env` is added to the environment. `err_cmd` runs after the last failed try,
    and its success makes the datum "recovered". Exit codes in `accept_return_codes` count as success,
    like 0. `datum_timeout_seconds` holds for each try. With `batch`, up to so many datums share one process.
    """

    cmd: tuple[str, ...]
    stdin: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str | None = None
    user: str | None = None
    err_cmd: tuple[str, ...] = ()
    err_stdin: tuple[str, ...] = ()
    accept_return_codes: tuple[int, ...] = ()
    datum_tries: int = 3
    datum_timeout_seconds: float | None = None
    batch: int = 0


@dataclass(frozen=True, slots=True)
class SetPlan:
    """The datums that one pod processes, in order, and where it writes their records.

    `set` is the set's name, unique within the job; records go to `<results_prefix>/<attempt>/<seq>.parquet`.
    `deadline` is when the job must be done, in seconds since the epoch: nothing is started after it.
    """

    job: str
    set: str
    pipeline: str
    output_commit: str
    transform: TransformPlan
    results_prefix: str
    datums: tuple[DatumPlan, ...]
    deadline: float | None = None
    format: int = PLAN_FORMAT

    def time_is_up(self, now: float) -> str:
        """When the deadline was, in words, or "" while there is time; `now` is in seconds since the epoch."""
        if self.deadline is None or now < self.deadline:
            return ""
        when = datetime.fromtimestamp(self.deadline, UTC).isoformat(" ", "seconds")
        return f"the job's time (job_timeout) was up at {when}"


@dataclass(frozen=True, slots=True)
class Since:
    """What the datums of a set go on from: earlier trees by source, and `DatumPlan.previous` by datum.

    A tree counts for those datums only that have a previous output; all others see everything.
    """

    trees: dict[int, str] = field(default_factory=dict)
    outputs: dict[str, tuple[str, str, int]] = field(default_factory=dict)


def plan_key(job: str, attempt: int, number: int) -> str:
    """The bucket key of the plan of set `number` in the given attempt of the job."""
    return f"jobs/{job}/plan/{attempt:04d}-{number:06d}.json"


def encode_plan(plan: SetPlan) -> bytes:
    """The plan as UTF-8 JSON; what datums share is written once."""
    sources: dict[tuple[Any, ...], int] = {}
    rows: list[list[Any]] = []
    since = Since()
    for datum in plan.datums:
        row: list[Any] = [datum.id]
        for item in datum.inputs:
            captures = () if item.captures is None else (item.captures,)
            shared = (item.name, item.repo, item.branch, item.commit, item.tree, item.lazy, item.empty_files)
            source = (*shared, *captures)
            number = sources.setdefault(source, len(sources))
            row.append([number, item.path])
            if item.before is not None:
                since.trees[number] = item.before
        rows.append(row)
        if datum.previous is not None:
            since.outputs[datum.id] = datum.previous
    return encode_rows(plan, list(sources), _to_json(rows), since)


def encode_rows(plan: SetPlan, sources: Sequence[Sequence[Any]], rows: bytes, since: Since | None = None) -> bytes:
    """The same for datums as a JSON list of rows: `[id, [source, path], ...]`.

    A source is the other fields of an `InputPlan`. The plan's own `datums` are not looked at.
    """
    since = since or Since()
    document = {
        "format": plan.format,
        "job": plan.job,
        "set": plan.set,
        "pipeline": plan.pipeline,
        "output_commit": plan.output_commit,
        "results_prefix": plan.results_prefix,
        "deadline": plan.deadline,
        "transform": asdict(plan.transform),
        "sources": sources,
        "before": {str(number): tree for number, tree in since.trees.items()},
        "previous": since.outputs,
    }
    return b'%s,"datums":%s}' % (_to_json(document)[:-1], rows)


def _to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")


def decode_plan(body: bytes, *, key: str = "set plan") -> SetPlan:
    """Read what `encode_plan` wrote; `key` names the object in errors. Raises `Corrupt`."""
    try:
        document = json.loads(body.decode("utf-8", "surrogateescape"))
        if document["format"] != PLAN_FORMAT:
            raise Corrupt(
                f"{key} has plan format {document['format']}, this worker reads format {PLAN_FORMAT}: "
                "use the helper image of the same release as the scheduler's airflow-provider-pachy"
            )
        sources = [tuple(source) for source in document["sources"]]
        since = Since(
            {int(number): tree for number, tree in document.get("before", {}).items()},
            {datum: (one, record, row) for datum, (one, record, row) in document.get("previous", {}).items()},
        )
        return SetPlan(
            job=document["job"],
            set=document["set"],
            pipeline=document["pipeline"],
            output_commit=document["output_commit"],
            results_prefix=document["results_prefix"],
            deadline=document.get("deadline"),
            transform=_decode_transform(document["transform"]),
            datums=tuple(_decode_datum(row, sources, since) for row in document["datums"]),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise Corrupt(f"{key} is not a set plan ({type(error).__name__}: {error}): plan the job again") from error


def _decode_transform(document: dict[str, Any]) -> TransformPlan:
    tuples = ("cmd", "stdin", "err_cmd", "err_stdin", "accept_return_codes")
    return TransformPlan(**{**document, **{name: tuple(document[name]) for name in tuples}})


def _decode_datum(row: list[Any], sources: list[tuple[Any, ...]], since: Since) -> DatumPlan:
    datum_id, *pairs = row
    previous = since.outputs.get(datum_id)
    inputs = []
    for source, path in pairs:
        name, repo, branch, commit, tree, lazy, empty_files, *more = sources[source]
        captures = tuple(more[0]) if more else None
        before = None if previous is None else since.trees.get(source)
        inputs.append(InputPlan(name, repo, branch, commit, tree, path, lazy, empty_files, captures, before))
    return DatumPlan(datum_id, tuple(inputs), previous)


def write_plan(store: ObjectStore, key: str, plan: SetPlan) -> None:
    """Put the plan into the bucket; writing the same plan twice is harmless."""
    store.put(key, encode_plan(plan))


def read_plan(store: ObjectStore, key: str) -> SetPlan:
    """Get a plan from the bucket. Raises `ObjectNotFound`, `Corrupt`."""
    return decode_plan(store.get(key), key=key)
