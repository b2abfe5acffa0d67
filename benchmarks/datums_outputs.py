"""One datum with a lot of output: ten thousand small files, and one file larger than the memory."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_pachy.pfs.objects import CountingStore, open_store
from airflow_pachy.worker.local import LocalRunner
from airflow_pachy.worker.plan import DatumPlan, SetPlan, TransformPlan
from airflow_pachy.worker.records import read_set_results
from airflow_pachy.worker.run import run_set
from benchmarks.files import say
from benchmarks.measure import report, run_module

if TYPE_CHECKING:
    from benchmarks.measure import Measurement
    from benchmarks.target import Target

FILES, FILE_BYTES = 10_000, 3_000
MANY = f"""
import os, pathlib
out = pathlib.Path(os.environ["PFS_ROOT"], "out")
for number in range({FILES}):
    (out / f"{{number:05d}}").write_bytes(os.urandom({FILE_BYTES}))
"""
ONE = """
import os, sys
with open(os.environ["PFS_ROOT"] + "/out/file", "wb") as file:
    for _ in range(int(sys.argv[1]) >> 20):
        file.write(os.urandom(1 << 20))
"""


def measure_outputs(target: Target, folder: Path, large_bytes: int) -> list[Measurement]:
    """Both, one after the other."""
    arguments = {"url": target.url("outputs"), "s3": target.s3, "scratch": str(folder), "large_bytes": large_bytes}
    measured = []
    for operation in (f"{FILES:,} files of {FILE_BYTES} B", f"one file of {large_bytes >> 20:,} MiB"):
        measured.append(run_module("ours", operation, "benchmarks.datums_outputs", arguments))
        say(measured[-1])
    return measured


def main(operation: str, arguments: dict[str, Any]) -> None:
    """Run one datum; what is reported is its upload alone."""
    code = [MANY] if operation.startswith(f"{FILES:,}") else [ONE, str(arguments["large_bytes"])]
    store = CountingStore(open_store(arguments["url"], s3=arguments["s3"]))
    transform = TransformPlan(cmd=("python3", "-c", *code), datum_tries=1)
    plan = SetPlan("job", operation, "p", "0" * 32, transform, f"jobs/outputs/{operation}", (DatumPlan("0" * 32, ()),))
    started = time.perf_counter()
    with LocalRunner(1, scratch=Path(arguments["scratch"]), pfs_root_env=True) as runner:
        outcome = run_set(store, plan, runner)
    seconds = time.perf_counter() - started
    (result,) = read_set_results(store, plan.results_prefix)
    if outcome.exit_code:
        raise SystemExit(f"{operation} ended with {outcome}: {result.reason}")
    report(
        seconds,
        store,
        files=len(result.outputs),
        upload_seconds=result.upload_us / 1e6,
        upload_bytes=result.upload_bytes,
    )


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
