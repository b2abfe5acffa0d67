"""`python -m benchmarks [--quick] [--only PART ...] [--runs N] [--without PEER ...] [--work DIR] [--large MIB] ...`."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import chain, datums_cluster, pods
from benchmarks import target as targets
from benchmarks.datums import measure_datums
from benchmarks.datums_outputs import measure_outputs
from benchmarks.dvc import Dvc
from benchmarks.file_cluster import measure_large_file
from benchmarks.files import measure_files, measure_large, say
from benchmarks.measure import Measurement, run_module, use_bytecode
from benchmarks.rebuild import measure_rebuild
from benchmarks.restic import Restic
from benchmarks.tables import print_table, write_json
from benchmarks.workload import LargeFile, Workload

if TYPE_CHECKING:
    from benchmarks.target import Target

TREE_READING = ("list a directory", "diff of 10", "diff of 10 in a directory", "glob /*/*.json")
TREE_OPERATIONS = ("build", "commit of 10", "commit of 10 in a directory", *TREE_READING)
PARTS = ("files", "megabytes", "large", "trees", "history", "rebuild", "datums", "outputs", "cluster")
BY_NAME_ONLY = ("chain", "large-job", "large-file")
"""Parts that start a whole Airflow or keep a cluster busy for long, so only who asks for them gets them."""
PEERS = {"dvc": Dvc.why_not, "restic": Restic.why_not}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything."""

    files: Workload
    megabytes: Workload
    large: LargeFile
    tree_files: int
    commits: int
    runs: int
    datums: int
    pod_datums: int
    job_datums: int
    output_bytes: int
    chain_commits: int


FULL = Scale(
    files=Workload(files=20_000, size_bytes=4 << 10, changed=200),
    megabytes=Workload(files=1_000, size_bytes=1 << 20, changed=10),
    large=LargeFile(2 << 30),
    tree_files=1_000_000,
    commits=10_001,
    runs=3,
    datums=1_000_000,
    pod_datums=1_000,
    job_datums=100_000,
    output_bytes=5 << 30,
    chain_commits=2,
)
QUICK = Scale(
    files=Workload(files=2_000, size_bytes=4 << 10, changed=20),
    megabytes=Workload(files=20, size_bytes=1 << 20, changed=1),
    large=LargeFile(32 << 20),
    tree_files=50_000,
    commits=101,
    runs=1,
    datums=10_000,
    pod_datums=100,
    job_datums=1_000,
    output_bytes=32 << 20,
    chain_commits=1,
)
_TINY = Workload(files=4, size_bytes=4 << 10, changed=1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth or less of everything, one round")
    parser.add_argument("--only", choices=[*PARTS, *BY_NAME_ONLY], action="append", help="run this part; repeatable")
    parser.add_argument("--runs", type=int, metavar="N", help="rounds of the parts with files")
    parser.add_argument("--without", choices=sorted(PEERS), action="append", default=[], help="leave a peer out")
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="where local files go; a tmpfs leaves the disk out of it"
    )
    parser.add_argument(
        "--after-round",
        metavar="COMMAND",
        help="run this when a round's objects are deleted, for stores that free late",
    )
    parser.add_argument("--large", type=int, metavar="MIB", help="size of the large file; the store must hold it")
    parser.add_argument("--datums", type=int, metavar="N", help="how many datums the parts with pods have")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything measured to FILE")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pachy-bench-", dir=arguments.work))
    target = targets.find_target(folder)
    if target.endpoint is None:
        print(targets.HOW_TO_S3)
    peers = {name for name in sorted(PEERS) if name not in arguments.without and not _is_absent(name)}
    scale = QUICK if arguments.quick else FULL
    scale = replace(scale, runs=arguments.runs or scale.runs)
    if arguments.large:
        scale = replace(scale, large=LargeFile(arguments.large << 20))
    if arguments.datums:
        scale = replace(scale, pod_datums=arguments.datums, job_datums=arguments.datums)
    target = replace(target, after_removal=arguments.after_round)
    try:
        use_bytecode(folder / "bytecode")
        measured = _measure(arguments.only or PARTS, target, folder, scale, peers)
    finally:
        targets.remove(target)
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        settings = {"target": target.title, "tree_files": scale.tree_files, "commits": scale.commits}
        write_json(arguments.json, {**settings, "files": scale.files.files, "runs": scale.runs}, measured)


def _is_absent(peer: str) -> bool:
    reason = PEERS[peer]()
    if reason:
        print(f"{reason}, so it is left out.")
    return reason is not None


def _measure(
    parts: list[str] | tuple[str, ...], target: Target, folder: Path, scale: Scale, peers: set[str]
) -> list[Measurement]:
    measured: list[Measurement] = []
    place = f"on {target.title}, {os.cpu_count()} cores, medians of up to {scale.runs} rounds"
    if {"files", "megabytes", "large"}.intersection(parts):
        measure_files(target, folder, _TINY, runs=1, peers=peers, quiet=True)  # every program's bytecode is made here
    for part, workload in (("files", scale.files), ("megabytes", scale.megabytes)):
        if part in parts:
            runs = scale.runs if part == "files" else max(1, scale.runs - 1)
            measured += (found := measure_files(target, folder, workload, runs=runs, peers=peers))
            print_table(f"{workload.title}, {workload.changed} of them changed, {place}", found)
    if "large" in parts:
        measured += (found := measure_large(target, folder, scale.large, runs=max(1, scale.runs - 1)))
        print_table(f"A file of {scale.large.size_bytes >> 20:,} MiB and a MiB of it changed, {place}", found)
    measured += _measure_metadata(parts, target, folder, scale)
    if "datums" in parts:
        measured += (found := measure_datums(target, folder, scale.datums))
        print_table(f"A job of {scale.datums:,} datums on {target.title}, {os.cpu_count()} cores", found)
    if "outputs" in parts:
        # Test servers keep everything in memory.
        size_bytes = min(scale.output_bytes, 1 << 30) if target.endpoint else scale.output_bytes
        measured += (found := measure_outputs(target, folder, size_bytes))
        print_table(f"The output of one datum on {target.title}", found)
    if "chain" in parts:
        measured += chain.measure_and_print(folder / "chain", scale.chain_commits)
    if in_pods := {"cluster", "large-job", "large-file"}.intersection(parts):
        measured += _measure_pods(in_pods, target, folder, scale)
    return measured


def _measure_pods(parts: set[str], target: Target, folder: Path, scale: Scale) -> list[Measurement]:
    """What runs in a cluster."""
    if reason := pods.why_not(target):
        print(f"{reason}.")
        return []
    measured: list[Measurement] = []
    if "cluster" in parts:
        measured += (found := datums_cluster.measure_cluster(target, folder, scale.pod_datums))
        print_table(f"{scale.pod_datums:,} datums of 10 ms in pods, {datums_cluster.PODS} at a time", found)
    if "large-job" in parts:
        measured += (found := datums_cluster.measure_large_job(target, folder, scale.job_datums))
        print_table(f"One job of {scale.job_datums:,} datums in pods, {datums_cluster.PODS} at a time", found)
    if "large-file" in parts:
        measured += (found := measure_large_file(target, folder, scale.output_bytes))
        print_table("One file from a pod", found)
    return measured


def _measure_metadata(
    parts: list[str] | tuple[str, ...], target: Target, folder: Path, scale: Scale
) -> list[Measurement]:
    """What has no contents to speak of: trees and histories."""
    measured: list[Measurement] = []
    if "trees" in parts:
        measured += (found := _measure_trees(target, folder, scale.tree_files))
        print_table(f"A tree of {scale.tree_files:,} files on {target.title}", found)
    if "history" in parts:
        measured += (found := _measure_history(folder, scale.commits))
        print_table("A long history, one commit each, store in memory", found)
    if "rebuild" in parts:
        measured += (found := measure_rebuild(target, folder, scale.commits - 1))
        print_table(f"A database made anew from {target.title}, {os.cpu_count()} cores", found)
    return measured


def _measure_trees(target: Target, folder: Path, files: int) -> list[Measurement]:
    """A large tree with no contents behind it."""
    state = folder / "state"
    state.mkdir()
    arguments = {"url": target.url("trees"), "s3": target.s3, "state": str(state), "files": files}
    measured = []
    for name in TREE_OPERATIONS:
        measured.append(run_module("ours", name, "benchmarks.trees", arguments))
        say(measured[-1])
    arguments["cache"] = str(folder / "cache")
    for name in TREE_READING:
        run_module("ours", name, "benchmarks.trees", arguments)
        measured.append(replace(run_module("ours", name, "benchmarks.trees", arguments), operation=f"{name}, again"))
        say(measured[-1])
    return measured


def _measure_history(folder: Path, commits: int) -> list[Measurement]:
    arguments = {"metadata": f"sqlite:///{folder / 'history.db'}", "at": [11, commits]}
    whole = run_module("ours", f"{commits:,} commits", "benchmarks.history", arguments)
    say(whole)
    return [
        replace(whole, operation=operation, inside_seconds=None, notes={}, **found)
        for operation, found in whole.notes["found"].items()
    ]


if __name__ == "__main__":
    main()
