"""What changed in a job's datums, told from what changed in its inputs: planning costs what was committed.

It needs the job whose output the new one builds on: made by the same listing rule, with the commits it read still
there, and without datums that are to run again although nothing changed (recovered ones). And an input that can tell
its changes, and few of them. Otherwise everything is listed, with the same outcome.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from airflow_pachy.errors import NotFound
from airflow_pachy.metadata.models import Job
from airflow_pachy.pfs.tree.outline import keys_in
from airflow_pachy.pfs.tree.preloading import preload
from airflow_pachy.pfs.tree.schema import single
from airflow_pachy.pipelines.datums_table import concat, distinct, list_tables, table_of
from airflow_pachy.pipelines.plain_memory import release_memory
from airflow_pachy.pipelines.rows import UNFINISHED
from airflow_pachy.pipelines.rows_table import ascending
from airflow_pachy.pipelines.selection import Difference, compare_all
from airflow_pachy.pipelines.snapshot import open_sources

if TYPE_CHECKING:
    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pipelines.datums import DatumIdentity
    from airflow_pachy.pipelines.datums_table import Leaves
    from airflow_pachy.pipelines.inputs import Input, Sources
    from airflow_pachy.pipelines.inputs.sources import InputChanges

# Beyond so many changed paths or datums, going through all leaves once is cheaper than through single paths.
MOST_CHANGES = 20_000


def listing_rule(node: Input, identity: DatumIdentity) -> str:
    """32 hex digits that two jobs share if equal commits give them equal datums."""
    rule = json.dumps(node.to_spec(), sort_keys=True).encode()
    return blake3(identity.prefix() + rule).hexdigest(length=16)


def list_all(node: Input, sources: Sources, identity: DatumIdentity, leaves: Leaves, base: Tree) -> Difference:
    """The difference to the job tree `base`, from a listing of all datums."""
    datums = concat(list_tables(node, sources, identity, leaves))
    release_memory(datums.num_rows)
    return compare_all(distinct(datums) if node.may_repeat else datums, base)


def earlier_sources(pfs: Pfs, job_id: str | None, node: Input, rule: str) -> Sources | None:
    """What an earlier job read, if it listed its datums by this rule and its commits are still there."""
    if job_id is None:
        return None
    with pfs.metadata.reader() as session:
        row = session.get(Job, job_id)
        if row is None or row.listing != rule:
            return None
        commits = [one.commit for one in row.inputs]
    leaves = list(node.leaves())
    if len(commits) != len(leaves) or not all(commits):
        return None
    try:
        return open_sources(pfs, {leaf.source: commit or "" for leaf, commit in zip(leaves, commits, strict=True)})
    except NotFound:
        return None


def list_changes(
    node: Input, versions: tuple[Sources, Sources], identity: DatumIdentity, leaves: Leaves, base: Tree
) -> Difference | None:
    """The same difference from what changed between two `versions` (new, old) of the sources; None if that is not told.

    `base` is the datum tree of the job that read the old ones.
    """
    new, old = versions
    if next(islice(base.entries(UNFINISHED), 1), None) is not None:
        return None
    changes = node.changes(new, old, MOST_CHANGES)
    return None if changes is None else _compare(changes, identity, leaves, base)


def _compare(changes: InputChanges, identity: DatumIdentity, leaves: Leaves, base: Tree) -> Difference | None:
    rows = [row for _order, row in sorted(changes.added, key=lambda item: item[0])]
    added = distinct(table_of(rows, identity, leaves))
    ids = single(added["id"])
    present = keys_in(base, ascending(ids))
    if len(present):
        added = added.filter(pc.invert(pc.is_in(ids, value_set=present)))
    # A scratch registry: these inputs have their old commits.
    gone = table_of(changes.removed, identity, type(leaves)())
    gone_ids = ascending(single(distinct(gone)["id"]))
    preload(base, gone_ids.to_pylist())
    vanished = base.find(gone_ids)
    if vanished.num_rows != len(gone_ids):
        return None
    total = len(base) - vanished.num_rows + added.num_rows
    return Difference(added, vanished, pa.array([], pa.string()), total)
