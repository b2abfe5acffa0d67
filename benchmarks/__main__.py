"""`python -m benchmarks [--quick] [--json FILE] [--only files|trees]`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import target as targets
from benchmarks.dvc import Dvc
from benchmarks.measure import Measurement, run_module
from benchmarks.tables import print_table, write_json
from benchmarks.workload import Workload, check

if TYPE_CHECKING:
    from benchmarks.target import Target

FILES = Workload(files=20_000, size_bytes=4096, changed=200)
QUICK_FILES = Workload(files=2_000, size_bytes=4096, changed=20)
TREE_FILES, QUICK_TREE_FILES = 1_000_000, 50_000
TREE_OPERATIONS = ("build", "commit of 10", "list a directory", "diff neighbours", "glob /*/*.json")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2,000 files and a tree of 50,000: some seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything measured to FILE")
    parser.add_argument("--only", choices=["files", "trees"], help="run one half")
    parser.add_argument("--without-dvc", action="store_true", help="leave DVC out, it takes most of the time")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pachy-bench-"))
    target = targets.find_target(folder)
    if target.endpoint is None:
        print(targets.HOW_TO_S3)
    workload = QUICK_FILES if arguments.quick else FILES
    tree_files = QUICK_TREE_FILES if arguments.quick else TREE_FILES
    measurements: list[Measurement] = []
    try:
        if arguments.only != "trees":
            measurements += measure_files(target, folder, workload, with_dvc=not arguments.without_dvc)
            title = f"{workload.files:,} files of {workload.size_bytes:,} B, {workload.changed} of them changed"
            print_table(f"{title}, on {target.title}, {os.cpu_count()} cores", measurements, baseline="ours")
        if arguments.only != "files":
            of_trees = measure_trees(target, folder, tree_files)
            print_table(f"A tree of {tree_files:,} files on {target.title}", of_trees, baseline="ours")
            measurements += of_trees
    finally:
        targets.remove(target)
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        write_json(arguments.json, {"target": target.title, "tree_files": tree_files, **asdict(workload)}, measurements)


def measure_files(target: Target, folder: Path, workload: Workload, *, with_dvc: bool) -> list[Measurement]:
    """Small files through the three systems, one after the other, so that none disturbs another."""
    data = folder / "data"
    changed = folder / "changed"
    workload.write(data)
    bare = _progress("bare", ["ingest", "list"], target, folder, data)
    bare += _materialise("bare", target, folder, workload)
    ours = _progress("ours", ["ingest"], target, folder, data)
    dvc = None
    if with_dvc and Dvc.is_installed():
        dvc = Dvc(target, folder)
        shutil.copytree(data, dvc.data)
    elif with_dvc:
        print("DVC is not installed here (pip install 'airflow-provider-pachy[dvc]'), so it is left out.")
    of_dvc = [_say(dvc.ingest())] if dvc else []
    workload.write_changes(data, changed, *([dvc.data] if dvc else []))
    ours += _progress("ours", ["put changed"], target, folder, changed)
    ours += _progress("ours", ["diff", "list"], target, folder, data)
    ours += _materialise("ours", target, folder, workload)
    ours += _progress("ours", ["put again"], target, folder, data)
    if dvc:
        of_dvc += [_say(dvc.put_again()), _say(dvc.diff()), _say(dvc.list_files()), _say(dvc.materialise(workload))]
    return ours + of_dvc + bare


def measure_trees(target: Target, folder: Path, files: int) -> list[Measurement]:
    """A large tree with no contents behind it."""
    state = folder / "state"
    state.mkdir()
    arguments = {"url": target.url("trees"), "s3": target.s3, "state": str(state), "files": files}
    return [_say(run_module("ours", name, "benchmarks.trees", arguments, cwd=Path.cwd())) for name in TREE_OPERATIONS]


def _progress(system: str, operations: list[str], target: Target, folder: Path, data: Path) -> list[Measurement]:
    arguments = {
        "url": target.url(system),
        "s3": target.s3,
        "data": str(data),
        "metadata": f"sqlite:///{folder / 'metadata.db'}",
    }
    module = f"benchmarks.{system}"
    return [_say(run_module(system, operation, module, arguments, cwd=Path.cwd())) for operation in operations]


def _materialise(system: str, target: Target, folder: Path, workload: Workload) -> list[Measurement]:
    destination = folder / f"{system}-out"
    destination.mkdir()
    measured = _progress(system, ["materialise"], target, folder, destination)
    check(destination, workload)
    shutil.rmtree(destination)
    return measured


def _say(measured: Measurement) -> Measurement:
    """Tell that something is done: DVC alone takes minutes."""
    print(f"  {measured.system} {measured.operation}: {measured.seconds:.1f} s", file=sys.stderr, flush=True)
    return measured


if __name__ == "__main__":
    main()
