"""Running the datums of a planned job as a Python function in this process: no pods, no files, no Airflow.

It obeys the contract between planner, worker and assembly (plans in, result records out), so planning,
skipping and assembly are the real ones. Use it to test what a pipeline makes of its input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_pachy.pfs.tree.entries import Entry
from airflow_pachy.worker.plan import DatumResult, ResultWriter, read_plan
from airflow_pachy.worker.previous import PreviousOutputs
from airflow_pachy.worker.staging import InputTrees

if TYPE_CHECKING:
    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.content import ContentWriter
    from airflow_pachy.pipelines.infos import JobPlan
    from airflow_pachy.worker.plan import DatumPlan

# By input name, the files below the datum's path with their contents.
Files = Mapping[str, bytes]
Code = Callable[[Mapping[str, Files]], Files]


class CodeFailed(Exception):
    """Raised by the code to fail its datum, as a process does with its exit status."""


class CodeRecovered(Exception):
    """Raised by the code to end its datum without output and without failing the job, as `err_cmd` does."""


@dataclass
class InProcessRunner:
    """Runs `code` on every datum of a plan; `processed` keeps the ids in the order they ran.

    A datum of an incremental pipeline that goes on from its last output finds that in "out", as another input.
    """

    pfs: Pfs
    code: Code
    processed: list[str] = field(default_factory=list)

    def run(self, plan: JobPlan, *, attempt: str = "0001") -> None:
        """Run all sets and write their result records under `attempt`, which must be new for these sets."""
        for key in plan.sets:
            self.run_set(key, attempt=attempt)

    def run_set(self, key: str, *, attempt: str = "0001", only_first: int | None = None) -> None:
        """Run one set, or its first datums alone, as a pod that dies after them would."""
        plan = read_plan(self.pfs.store, key)
        with self.pfs.new_content_writer() as writer:
            results = [self._process(datum, writer) for datum in plan.datums[:only_first]]
        with ResultWriter(self.pfs.store, f"{plan.results_prefix}/{attempt}") as records:
            for result in results:
                records.add(result)

    def _process(self, datum: DatumPlan, writer: ContentWriter) -> DatumResult:
        self.processed.append(datum.id)
        try:
            outputs = self.code(self._seen(datum))
        except CodeFailed as error:
            return DatumResult(datum.id, "failed", exit_code=1, reason=str(error))
        except CodeRecovered as error:
            return DatumResult(datum.id, "recovered", exit_code=1, reason=str(error))
        entries = [Entry(path, writer.write(content), datum=datum.id) for path, content in sorted(outputs.items())]
        return DatumResult(datum.id, "success", outputs=tuple(entries))

    def _seen(self, datum: DatumPlan) -> dict[str, dict[str, bytes]]:
        trees = InputTrees(self.pfs.store)
        seen: dict[str, dict[str, bytes]] = {}
        for item in datum.inputs:
            seen.setdefault(item.name, {}).update(self._read(trees.entries(item)))
        if datum.previous is not None:
            seen["out"] = self._read(PreviousOutputs(self.pfs.store).of(datum))
        return seen

    def _read(self, entries: Iterable[Entry]) -> dict[str, bytes]:
        return {one.path: self.pfs.content_reader.read(one.content) for one in entries}
