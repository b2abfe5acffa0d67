"""The helper image's entry points: `python -m airflow_pachy.worker [place|stage|spout]`.

Without an argument, the helper container: processes one set plan beside the user's container, with
settings from the environment:

    PACHY_STORAGE           where the data is, s3://bucket/prefix
    PACHY_SET_PLAN          the plan's key there
    PACHY_ATTEMPT           a name for this attempt, normally the pod's
    PACHY_STAGE_BYTES       how much may be staged on the volume at once
    PACHY_KILL_GRACE_SECONDS  how long a command that is told to end may take (10)
    PACHY_S3_ENDPOINT       the S3 server, if it is not Amazon's; also the other PACHY_S3_* of `s3_settings.VARIABLES`
    PACHY_S3_PATIENCE_SECONDS  how long to wait for an S3 server that has answered before (600)
    PACHY_SIDECAR           set in a native sidecar, which must not end before the user's container has
    AWS_...                 credentials, found as boto3 finds them

With `place`, the init container. With `stage`, the init container of a service: puts the files of the one datum of the
set plan that is in PACHY_PLAN under /pfs. With `spout`, the helper of a spout: records what is written to the pipe
/pfs/out as batches of the stream PACHY_SPOUT_STREAM, with PACHY_SPOUT_MARKER as the name of its marker; the init
container then has in PACHY_STDIN what the command reads.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_pachy.errors import InvalidArgument, PachyError, Unavailable
from airflow_pachy.worker.outcome import DEFAULT_STAGE_BYTES, ExitCode, SetOutcome, WorkerOptions, new_attempt
from airflow_pachy.worker.place import place
from airflow_pachy.worker.shim import ShimRunner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_pachy.pfs.objects.store import ObjectStore

TERMINATION_LOG = Path("/dev/termination-log")


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Run the entry point that the arguments name; returns the exit code."""
    os.umask(0)  # the user's container may have any uid
    pfs = Path(environment.get("PACHY_PFS", "/pfs"))
    if arguments == ["place"]:
        place(pfs, stdin=environment.get("PACHY_STDIN"))
        return 0
    if arguments == ["stage"]:
        place(pfs)
        return _stage(pfs, environment)
    if arguments == ["spout"]:
        return _spout(pfs, environment)
    if arguments:
        sys.stderr.write(f"usage: python -m airflow_pachy.worker [place|stage|spout], not {' '.join(arguments)}\n")
        return 2
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    outcome = _help(pfs, environment, stop)
    _report(outcome)
    if environment.get("PACHY_SIDECAR"):
        # Kubernetes would start us again; it sends TERM once the user's container has read our exit code and ended.
        stop.wait()
    return outcome.exit_code


def _help(pfs: Path, environment: Mapping[str, str], stop: threading.Event) -> SetOutcome:
    """Process the set, and have the user's container end with the outcome's exit code, whatever happens."""
    runner = ShimRunner(pfs, kill_grace_seconds=int(environment.get("PACHY_KILL_GRACE_SECONDS") or 10))
    outcome = SetOutcome(0, 0, 0, 0, ExitCode.HELPER_DEAD, "the helper broke, see its log")
    try:
        if runner.succeeds_another:
            # What the shim was told before is not known any more; records of what was done are in the bucket.
            return replace(outcome, error="the helper container died and was restarted: see why in its last state")
        with runner:
            outcome = help_with_set(runner, environment, stop)
    except Exception:  # noqa: BLE001 - the user's container must learn of it, whatever it is
        traceback.print_exc()
    finally:
        runner.finish(outcome.exit_code)
    return outcome


def help_with_set(runner: ShimRunner, environment: Mapping[str, str], stop: threading.Event) -> SetOutcome:
    """Read the plan that the environment names, and process it."""
    # Here, because the init container needs none of it: pyarrow and botocore cost half a second and 100 MiB.
    from airflow_pachy.pfs.objects import CountingStore
    from airflow_pachy.worker.plan import read_plan
    from airflow_pachy.worker.run import run_set

    try:
        counted = CountingStore(_open_store(environment))
        store = _patient(counted, environment, stop)
        plan = read_plan(store, _required(environment, "PACHY_SET_PLAN"))
        options = WorkerOptions(
            attempt=environment.get("PACHY_ATTEMPT") or new_attempt(),
            stage_budget_bytes=int(environment.get("PACHY_STAGE_BYTES", DEFAULT_STAGE_BYTES)),
            stop=stop,
        )
    except (PachyError, ValueError) as error:
        code = ExitCode.STAGING_FAILED if isinstance(error, Unavailable) else ExitCode.MISCONFIGURED
        return SetOutcome(0, 0, 0, 0, code, f"the set plan cannot be read: {error}")
    start = _seconds_since_start()
    _say(f"ready after {start:.2f} s, for {len(plan.datums):,} datums")
    outcome = run_set(store, plan, runner, options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return replace(outcome, start_seconds=start, peak_memory_bytes=peak, requests=counted.counts.total)


def _seconds_since_start() -> float:
    """How old this process is, its interpreter's start and all imports included."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return round(time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"), 2)


def _stage(pfs: Path, environment: Mapping[str, str]) -> int:
    """Put a service's files in place."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.STOPPED))  # process 1 has no default
    from airflow_pachy.worker.plan import decode_plan
    from airflow_pachy.worker.serving import stage_service

    try:
        plan = decode_plan(_required(environment, "PACHY_PLAN").encode("utf-8", "surrogateescape"), key="PACHY_PLAN")
        store = _patient(_open_store(environment), environment, threading.Event())
        budget = int(environment.get("PACHY_STAGE_BYTES", DEFAULT_STAGE_BYTES))
        size = stage_service(store, plan, pfs, budget)
    except (PachyError, OSError) as error:
        return _give_up(f"the service's files cannot be put in place: {error}")
    _say(f"{size:,} bytes are in place")
    return 0


def _spout(pfs: Path, environment: Mapping[str, str]) -> int:
    """Record what a spout writes, until told to end."""
    from airflow_pachy.worker.spout import Spout

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        stream, marker = _required(environment, "PACHY_SPOUT_STREAM"), environment.get("PACHY_SPOUT_MARKER", "")
        store = _patient(_open_store(environment), environment, stop)
        Spout(store, stream, marker, pfs, stop, _say).run()
    except (PachyError, OSError) as error:
        return _give_up(f"what the spout wrote is not recorded: {error}")
    return 0


def _give_up(text: str) -> int:
    """Say why the container ends, where `kubectl describe` and we find it."""
    _say(text)
    if TERMINATION_LOG.exists():
        TERMINATION_LOG.write_text(text[:4096])
    return 1


def _open_store(environment: Mapping[str, str]) -> ObjectStore:
    from airflow_pachy.pfs.objects import open_store
    from airflow_pachy.pfs.objects.s3_settings import from_environment

    return open_store(_required(environment, "PACHY_STORAGE"), s3=from_environment(environment))


def _patient(store: ObjectStore, environment: Mapping[str, str], stop: threading.Event) -> ObjectStore:
    """The store, waited for when it is away."""
    from airflow_pachy.worker.patience import Patience, PatientStore

    seconds = float(environment.get("PACHY_S3_PATIENCE_SECONDS") or 600)
    return PatientStore(store, Patience(seconds=seconds, log=_say, given_up=stop.is_set))


def _say(text: str) -> None:
    sys.stdout.write(f"pfs: {text}\n")
    sys.stdout.flush()


def _required(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise InvalidArgument(f"the environment variable {name} is not set: the pod was not made by airflow_pachy.pods")
    return environment[name]


def _report(outcome: SetOutcome) -> None:
    """The outcome as JSON, in the log and as the container's termination message."""
    text = json.dumps({**asdict(outcome), "exit_code": int(outcome.exit_code)})
    _say(f"set {text}")
    if TERMINATION_LOG.exists():
        TERMINATION_LOG.write_text(text[:4096])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
