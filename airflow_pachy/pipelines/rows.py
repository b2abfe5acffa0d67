"""What is kept of a datum in the trees of jobs and pipelines: one inline row under the datum's id.

Two kinds of tree hold these rows. A *job's* tree has every datum of the job; a pipeline's *memory* has
every datum it ever processed. Both are ordinary trees, so two jobs are compared, and a memory is
extended, at the cost of what changed. A row carried from one job to the next keeps its bytes: that
it names an earlier job is what makes the datum a skipped one.

In a job's tree, datums that are not done have their key prefixed with `!`, which sorts before all
ids: they are found without reading the others, and listings show them first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.tree.entries import Content, Entry, Put

if TYPE_CHECKING:
    from airflow_pachy.pipelines.datums import Datum

RowState = Literal["pending", "success", "failed", "recovered"]
UNFINISHED = "!"


@dataclass(frozen=True, slots=True)
class RowInput:
    """One input of a datum: enough to show it and to say later what changed; `hash` is a prefix in hex."""

    name: str
    path: str
    hash: str


@dataclass(frozen=True, slots=True)
class DatumRow:
    """A datum as of `job`, the job that was to process it or did.

    `reason` says why it had to run, `error` why it did not succeed; `record` and `row` say where its
    result lies once there is one.
    """

    id: str
    state: RowState
    job: str
    reason: str
    inputs: tuple[RowInput, ...]
    error: str = ""
    record: str | None = None
    row: int = 0

    @property
    def key(self) -> str:
        """The row's key in a job's tree."""
        return self.id if self.state == "success" else UNFINISHED + self.id

    @property
    def place(self) -> tuple[tuple[str, str], ...]:
        """Which datum this is, whatever its content: the names and paths of its inputs."""
        return tuple((item.name, item.path) for item in self.inputs)

    def describe(self) -> str:
        """The datum for people: its id and inputs."""
        return f"datum {self.id} ({', '.join(f'{item.name}:/{item.path}' for item in self.inputs)})"

    def to_entry(self, key: str) -> Entry:
        """The row as a tree entry under `key`."""
        fields = [self.state, self.job, self.reason, self.error, self.record or "", str(self.row)]
        for item in self.inputs:
            fields += (item.name, item.path, item.hash)
        # Nothing here may hold a NUL but a program's last words.
        body = "\0".join([field.replace("\0", "\ufffd") for field in fields]).encode("utf-8", "surrogateescape")
        return Entry(key, Content(hash_bytes(body), len(body), inline=body))

    def put(self) -> Put:
        """The change that sets this row in a job's tree."""
        return Put(self.to_entry(self.key))

    def remember(self) -> Put:
        """The change that sets this row in a pipeline's memory."""
        return Put(self.to_entry(self.id))


def read_row(entry: Entry) -> DatumRow:
    """The row in a tree entry. Raises `Corrupt`."""
    if entry.content.inline is None:
        raise Corrupt(f"entry {entry.path!r} of a datum tree has no inline row: run `pachy fsck`")
    try:
        fields = entry.content.inline.decode("utf-8", "surrogateescape").split("\0")
        state, job, reason, error, record, row = fields[:6]
        parts = fields[6:]
        inputs = tuple(map(RowInput, parts[0::3], parts[1::3], parts[2::3]))
        number = int(row)
    except ValueError as problem:
        raise Corrupt(
            f"entry {entry.path!r} of a datum tree is not a datum row ({problem}): run `pachy fsck`"
        ) from problem
    datum = entry.path.removeprefix(UNFINISHED)
    return DatumRow(datum, cast("RowState", state), job, reason, inputs, error, record or None, number)


def new_row(datum: Datum, job: str, reason: str) -> DatumRow:
    """The row of a datum that is to run."""
    inputs = tuple(RowInput(item.name, item.path, item.hash.hex()[:16]) for item in datum.inputs)
    return DatumRow(datum.id, "pending", job, reason, inputs)
