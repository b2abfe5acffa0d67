"""Names of pods, made from what they are for: creating one twice finds the first."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LENGTH = 63
"""Pod names may be longer, but become host names and labels."""
PREFIX = "pachy"
JOB_LABEL = "pachy-job"
SET_LABEL = "pachy-set"
ATTEMPT_ANNOTATION = "airflow-pachy/attempt"
PLAN_ANNOTATION = "airflow-pachy/set-plan"
TRY_ANNOTATION = "airflow-pachy/try"
"""The last try of the task that has taken the pod over from an earlier one."""
_PLAN_KEY = re.compile(r"jobs/(?P<job>[^/]+)/plan/(?P<attempt>\d+)-(?P<number>\d+)\.json$")


@dataclass(frozen=True, slots=True)
class SetName:
    """A datum set: the job, the job's attempt that planned it, and its number there."""

    job: str
    attempt: int
    number: int

    @classmethod
    def of_plan(cls, plan_key: str) -> SetName | None:
        """From a plan's key; None for a key of another form."""
        match = _PLAN_KEY.search(plan_key)
        return cls(match["job"], int(match["attempt"]), int(match["number"])) if match else None

    @property
    def labels(self) -> dict[str, str]:
        """Labels by which the set's pods are found, whatever try made them."""
        return {JOB_LABEL: self.job.lower(), SET_LABEL: f"{self.attempt}-{self.number}"}

    def pod_name(self, try_number: int, replacement: int = 0, prefix: str = PREFIX) -> str:
        """`pachy-<job>-<attempt>-<number>-<try>`, with `-<replacement>` once pods were lost."""
        parts = [self.job.lower(), str(self.attempt), str(self.number), str(try_number)]
        end = "-".join([*parts, str(replacement)] if replacement else parts)
        start = re.sub(r"[^a-z0-9-]+", "-", prefix.lower()).strip("-")[: max(0, MAX_LENGTH - len(end) - 1)]
        return f"{start.rstrip('-')}-{end}".strip("-")
