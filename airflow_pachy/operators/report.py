"""What became of a datum set, read from its result records: the only word on success.

Exit codes and pod phases say how a pod ended; the records say which datums are done and durable. A set
whose pod was evicted after its last record is a success, and one whose pod says Succeeded without records is not.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_pachy.worker.records import set_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.worker.plan import DatumPlan, DatumResult, SetPlan

SHOWN_DATUMS = 5
SHOWN_LOG_LINES = 10
HOW_TO_GO_ON = (
    "What succeeded is kept. To run only the failed datums again: clear this task together with the "
    "stage's assemble. After a change of the code or the data: trigger the DAG again."
)


@dataclass(frozen=True, slots=True)
class SetReport:
    """A set's datums by outcome. `unfinished` have no record at all: their pod ended before them."""

    plan: SetPlan
    done: int
    recovered: int
    failed: tuple[tuple[DatumPlan, DatumResult], ...]
    unfinished: tuple[DatumPlan, ...]

    @property
    def complete(self) -> bool:
        """Whether every datum of the set is done and durable."""
        return not self.failed and not self.unfinished

    def counts(self) -> str:
        """One line: how many datums ended how."""
        parts = [f"{self.done} done"]
        if self.recovered:
            parts.append(f"{self.recovered} recovered by err_cmd")
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        if self.unfinished:
            parts.append(f"{len(self.unfinished)} not finished")
        return f"{len(self.plan.datums)} datums: {', '.join(parts)}"

    def summary(self) -> str:
        """The failures in one sentence, for notifications."""
        datum, result = self.failed[0]
        more = f", and {len(self.failed) - 1} more" if len(self.failed) > 1 else ""
        return (
            f"the code failed on {len(self.failed)} of {self.counts()}. Datum {datum.id[:16]} ({datum.label}): "
            f"{result.reason}{more}. {HOW_TO_GO_ON}"
        )

    def describe_failures(self) -> str:
        """The failed datums with their inputs, exit codes and last log lines, and how to go on."""
        blocks = [_describe(self.plan, datum, result) for datum, result in self.failed[:SHOWN_DATUMS]]
        if (hidden := len(self.failed) - SHOWN_DATUMS) > 0:
            blocks.append(f"... and {hidden} more: pachy list datum {self.plan.job} --state failed")
        return "\n".join(
            [
                f"the code failed on {len(self.failed)} of {self.counts()}",
                *blocks,
                HOW_TO_GO_ON,
            ]
        )


def read_report(store: ObjectStore, plan: SetPlan, try_number: int) -> SetReport:
    """Read the set's records; those of other tries only tell of successes. Raises `StoreUnavailable`, `Corrupt`."""
    return report(plan, _records(store, plan, attempt_prefix(try_number)))


def report(plan: SetPlan, results: Iterable[tuple[DatumResult, bool]]) -> SetReport:
    """Take for each datum a success of any try, else the last word of this one (which the flag of each result tells).

    What failed in an earlier try has been cleared by somebody to be run again; when this try left no record of it,
    its pod was lost, which is another reason and another remedy.
    """
    last: dict[str, DatumResult] = {}
    for result, of_this_try in results:
        known = last.get(result.datum)
        if result.state == "success" or (of_this_try and (known is None or known.state != "success")):
            last[result.datum] = result
    states = [(datum, last.get(datum.id)) for datum in plan.datums]
    return SetReport(
        plan=plan,
        done=sum(result is not None and result.state == "success" for _, result in states),
        recovered=sum(result is not None and result.state == "recovered" for _, result in states),
        failed=tuple((datum, result) for datum, result in states if result is not None and result.state == "failed"),
        unfinished=tuple(datum for datum, result in states if result is None),
    )


def attempt_prefix(try_number: int) -> str:
    """How the names of the attempts of a task's try begin; see `new_attempt`."""
    return f"{try_number:04d}-"


def _records(store: ObjectStore, plan: SetPlan, of_this_try: str) -> Iterator[tuple[DatumResult, bool]]:
    for attempt, results in set_records(store, plan.results_prefix):
        for result in results:
            yield result, attempt.startswith(of_this_try)


def _describe(plan: SetPlan, datum: DatumPlan, result: DatumResult) -> str:
    inputs = ", ".join(f"{item.name}@{item.commit[:8]}:/{item.path.strip('/')}" for item in datum.inputs)
    code = "" if result.exit_code is None else f" with exit code {result.exit_code}"
    tries = "1 try" if result.tries == 1 else f"{result.tries} tries"
    lines = [
        f"datum {datum.id[:16]} ({inputs}) failed{code} after {tries}: {result.reason}",
        f"    command: {shlex.join(plan.transform.cmd)}",
    ]
    lines += [f"    | {line}" for line in result.log_tail.splitlines()[-SHOWN_LOG_LINES:]]
    return "\n".join(lines)
