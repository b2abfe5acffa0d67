"""One datum in a pod that writes one large file: the helper has a small memory limit, whatever the file's size."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks import pods
from benchmarks.files import say
from benchmarks.measure import report, run_module

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.measure import Measurement
    from benchmarks.target import Target

HELPER_MEMORY = "512Mi"
MODULE = "benchmarks.file_cluster"


def measure_large_file(target: Target, folder: Path, size_bytes: int) -> list[Measurement]:
    """A whole job of one datum. Afterwards the file is read in part, and is what its hash says."""
    title = f"one file of {size_bytes >> 20:,} MiB"
    state = folder / "file"
    state.mkdir()
    image = pods.helper_image()
    with pods.namespace() as namespace:
        arguments = {
            "url": target.url("file"),
            "metadata": f"sqlite:///{state / 'metadata.db'}",
            "endpoint": target.endpoint,
            "namespace": namespace,
            "helper_image": image,
            "size_bytes": size_bytes,
        }
        measured = run_module("ours", title, MODULE, arguments)
    say(measured)
    print("   ", ", ".join(f"{name} {value}" for name, value in measured.notes.items()), flush=True)
    return [measured]


def main(arguments: Mapping[str, Any]) -> None:
    """Plan, run, assemble; the seconds are those of the upload alone."""
    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, plan_job
    from airflow_pachy.worker.plan import read_plan
    from airflow_pachy.worker.records import read_set_results

    size_bytes = arguments["size_bytes"]
    code = f"head -c {size_bytes} /dev/urandom >/pfs/out/file; sha256sum </pfs/out/file >/pfs/out/sum"
    spec = PipelineSpec.from_dict(
        {
            "pipeline": {"name": "out"},
            "transform": {"image": pods.user_image(), "cmd": ["sh", "-euc", code]},
            "input": {"pfs": {"repo": "in", "glob": "/"}},
            "datum_tries": 1,
        }
    )
    limits = {"memory": "128Mi", "ephemeral-storage": str(size_bytes + (1 << 30))}
    helper = {"limits": {"memory": HELPER_MEMORY}}
    with Pfs.open(arguments["url"], arguments["metadata"], s3={"endpoint_url": arguments["endpoint"]}) as pfs:
        pfs.create_repo("in")
        pfs.put_file("in@master:/one", b"1")
        planned = plan_job(pfs, JobRequest(spec, "benchmark", "run", "stage"))
        seen = pods.run_sets(arguments, planned.sets, container_resources={"limits": limits}, helper_resources=helper)
        started = time.perf_counter()
        assemble_job(pfs, planned.job_id)
        assembled = time.perf_counter() - started
        (result,) = read_set_results(pfs.store, read_plan(pfs.store, planned.sets[0]).results_prefix)
        whole = _sha256(pfs)
        if whole != pfs.get_file("out@master:/sum").decode().split()[0]:
            raise SystemExit("what was stored is not what the datum wrote")
    notes: dict[str, Any] = {
        "upload": f"{result.upload_bytes / result.upload_us:.0f} MB/s",
        "memory limit of the helper": HELPER_MEMORY,
        "its peak": f"{max(seen.all('peak_memory_bytes')) / 2**20:.0f} MiB",
        "its CPU": f"{sum(seen.all('cpu_seconds')):.1f} s",
        "S3 requests": f"{sum(seen.all('requests')):,.0f}",
        "assembled in": f"{assembled:.2f} s",
    }
    report(result.upload_us / 1e6, **notes)


def _sha256(pfs: Any) -> str:
    import hashlib

    digest = hashlib.sha256()
    with pfs.open_file("out@master:/file") as file:
        while block := file.read(8 << 20):
            digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    main(json.loads(sys.argv[2]))
