"""Many files through every system, round by round: in a round each has its turn at each operation.

Ratios are taken within a round, so that they mean something even when the machine's speed drifts, and who is first in
one is not in the next. Where the files are many bytes, each takes its turn at all operations and its objects are then
deleted: a store that keeps objects in memory takes longer while it has to get it.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks import target as targets
from benchmarks.bare import Bare
from benchmarks.dvc import Dvc
from benchmarks.ours import Ours
from benchmarks.restic import Restic
from benchmarks.workload import LargeFile, Workload, check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.measure import Measurement
    from benchmarks.target import Target

System = Bare | Ours | Restic | Dvc
MANY_BYTES = 512 << 20


def measure_files(
    target: Target, folder: Path, workload: Workload, *, runs: int, peers: set[str], quiet: bool = False
) -> list[Measurement]:
    """`runs` rounds; DVC, by far the slowest, takes part in the first one only."""
    data = folder / "data"
    workload.write(data)
    many = workload.total_bytes >= MANY_BYTES
    if many:
        _fill_once(target, data)
    measured: list[Measurement] = []
    for run in range(runs):
        work = folder / f"round-{run}"
        systems: list[System] = [Bare(target, f"bare-{run}"), Ours(target, f"ours-{run}", work / "ours")]
        if "restic" in peers:
            systems.append(Restic(target, f"restic-{run}", work / "restic", data))
        if "dvc" in peers and run == 0:
            systems.append(Dvc(target, f"dvc-{run}", work / "dvc"))
        turn = run % len(systems)
        systems = systems[turn:] + systems[:turn]
        for together in [[system] for system in systems] if many else [systems]:
            workload.write_changes(1, data)
            for one in _round(together, data, work, workload):
                measured.append(replace(one, run=run))
                if not quiet:
                    say(one)
            targets.remove(target, [system.name for system in together])
        shutil.rmtree(work)
    shutil.rmtree(data)
    return measured


def _fill_once(target: Target, data: Path) -> None:
    """Have the store hold what one system puts, before anybody is measured."""
    first = Bare(target, "first")
    first.ingest(data)
    targets.remove(target, [first.name])


def measure_large(
    target: Target, folder: Path, large: LargeFile, *, runs: int, quiet: bool = False
) -> list[Measurement]:
    """One large file in, its edit in, a MiB of it out, all of it out.

    The store holds what one of both has put, and has held as much before.
    """
    data = folder / "large"
    measured: list[Measurement] = []
    for run in range(runs):
        large.write(data)
        if not run:
            _fill_once(target, data)
        work = folder / f"round-{run}"
        both: list[Bare | Ours] = [Bare(target, f"bare-{run}"), Ours(target, f"ours-{run}", work / "ours")]
        for system in reversed(both) if run % 2 else both:
            system.prepare()
            for one in _large_turn(system, data, work / f"{system.system}-out", large):
                measured.append(replace(one, run=run))
                if not quiet:
                    say(one)
            targets.remove(target, [system.name])
        shutil.rmtree(work)
    shutil.rmtree(data)
    return measured


def say(measured: Measurement) -> None:
    """Tell that something is done: DVC alone takes minutes."""
    print(f"  {measured.system} {measured.operation}: {measured.seconds:.1f} s", file=sys.stderr, flush=True)


def _round(systems: list[System], data: Path, work: Path, workload: Workload) -> Iterator[Measurement]:
    homes = {system.name: data for system in systems}
    for system in systems:
        system.prepare()
        if isinstance(system, Dvc):
            shutil.copytree(data, system.data)
            homes[system.name] = system.data
    for system in systems:
        yield system.ingest(homes[system.name])
    changed = work / "changed"
    workload.write_changes(2, changed)
    for system in systems:
        if isinstance(system, Ours):
            yield system.put_changed(changed)
    for home in set(homes.values()):
        workload.write_changes(3, home)
    versioned = [system for system in systems if not isinstance(system, Bare)]
    for system in versioned:
        yield system.put_again(homes[system.name])
    for system in versioned:
        yield system.diff()
    for system in systems:
        yield system.list_files()
    for system in systems:
        output = work / f"{system.system}-out"
        yield system.materialise(output)
        check(system.data if isinstance(system, Dvc) else output, workload)
        shutil.rmtree(output, ignore_errors=True)
    path = workload.path(workload.files // 2)
    for system in systems:
        yield system.one_file(path, work / f"{system.system}-file")


def _large_turn(system: Bare | Ours, data: Path, output: Path, large: LargeFile) -> Iterator[Measurement]:
    yield system.ingest(data)
    if isinstance(system, Ours):
        large.edit(data)
        yield replace(system.put_again(data), operation="put after an edit")
        yield replace(system.range(large.path, large.size_bytes // 3, 1 << 20), operation="read 1 MiB inside")
    yield system.materialise(output)
    check(output, large)
    shutil.rmtree(output)
