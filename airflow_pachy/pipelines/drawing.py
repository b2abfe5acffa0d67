"""Pictures of pipelines as Mermaid text: which repos are read, by what, and what is written.

Text and not an image, because GitHub, GitLab and most documentation tools draw it where it stands, and because a test
can compare it. A picture is a list of arrows; whoever knows other steps than pipelines adds arrows of its own, as
`airflow_pachy.operators.drawing` does for tasks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from airflow_pachy.pipelines.inputs import CronInput, GitInput
from airflow_pachy.pipelines.inputs.fed import fed_inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_pachy.pipelines.inputs import Input
    from airflow_pachy.pipelines.inputs.pfs import PfsInput
    from airflow_pachy.pipelines.spec import PipelineSpec

NodeKind = Literal["repo", "step", "source", "target"]
"""A branch of a repo; what computes; what feeds a repo from outside; where data leaves to."""

_SHAPES: Mapping[NodeKind, str] = {"repo": '[("{}")]', "step": '["{}"]', "source": '(["{}"])', "target": '[/"{}"/]'}
# Mermaid's own way to write what would end a text or begin an entity in it.
_ENTITIES = str.maketrans({"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "`": "#96;", "\n": " "})


@dataclass(frozen=True, slots=True)
class Node:
    """Something in a picture. Two of one kind and name are the same; `note` is a second line."""

    kind: NodeKind
    name: str
    note: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Arrow:
    """Data goes from `source` to `target`; with `starts=False` it is read but starts nothing."""

    source: Node
    target: Node
    label: str = ""
    starts: bool = True


def branch_node(repo: str, branch: str = "master") -> Node:
    """The branch of a repo; of the branch master only the repo is said."""
    return Node("repo", repo if branch in ("", "master") else f"{repo}@{branch}")


def pipeline_arrows(spec: PipelineSpec) -> Iterator[Arrow]:
    """The arrows into and out of one pipeline."""
    egress = spec.egress.url if spec.egress else None
    # A service answers requests; what it has is never committed.
    output = None if spec.service else spec.output
    yield from stage_arrows(spec.name, spec.input, output, egress)


def stage_arrows(name: str, node: Input, output: str | None, egress: str | None = None) -> Iterator[Arrow]:
    """The arrows of something that reads an input, writes the branch `output` and copies that to the URL `egress`."""
    step = Node("step", name, note=_combination(node))
    for fed in fed_inputs(node):
        source = Node("source", _origin(fed))
        yield Arrow(source, branch_node(fed.leaf.repo, fed.leaf.branch))
    for leaf in node.leaves():
        yield Arrow(_read(leaf), step, _reading(leaf), starts=leaf.commit is None and leaf.trigger is not False)
    if output is None:
        return
    repo, _, branch = output.partition("@")
    yield Arrow(step, branch_node(repo, branch))
    if egress:
        yield Arrow(branch_node(repo, branch), Node("target", egress), "egress")


def _origin(fed: Input) -> str:
    if isinstance(fed, CronInput):
        return f"cron {fed.spec}"
    if isinstance(fed, GitInput):
        return f"git {fed.url} {fed.branch}"
    return type(fed).__name__


def _read(leaf: PfsInput) -> Node:
    if leaf.commit is not None:
        return branch_node(leaf.repo, leaf.commit)
    # The branch that a trigger moves is the pipeline's own; a reader wants to see the one that it follows.
    followed = leaf.trigger.get("branch") if isinstance(leaf.trigger, dict) else None
    return branch_node(leaf.repo, followed or leaf.branch)


def _reading(leaf: PfsInput) -> str:
    words = [leaf.glob]
    if leaf.join_on:
        words.append(f"{'outer join' if leaf.outer_join else 'join'} on {leaf.join_on}")
    if leaf.group_by:
        words.append(f"group by {leaf.group_by}")
    if isinstance(leaf.trigger, dict):
        conditions = [f"{name} {value}" for name, value in leaf.trigger.items() if name != "branch" and value]
        words.append(f"when {', '.join(conditions)}")
    return " ".join(words)


def _combination(node: Input) -> str:
    """`cross`, or `cross(join, images)` when inputs are nested; nothing for a single one."""
    members = getattr(node, "members", ())
    if not members:
        return ""
    inner = [_combination(member) for member in members]
    key = str(getattr(node, "key", ""))
    if not any(inner):
        return key
    texts = (
        text or ", ".join(leaf.name for leaf in member.leaves()) for text, member in zip(inner, members, strict=True)
    )
    return f"{key}({', '.join(texts)})"


def mermaid(arrows: Iterable[Arrow]) -> str:
    """A flowchart from left to right; the same arrows in the same order give the same text."""
    distinct = list(dict.fromkeys(arrows))
    notes = {node: node.note for arrow in distinct for node in (arrow.source, arrow.target) if node.note}
    nodes = dict.fromkeys(node for arrow in distinct for node in (arrow.source, arrow.target))
    ids = _ids(nodes)
    lines = ["flowchart LR"]
    for node in nodes:
        text = node.name.translate(_ENTITIES)
        if node in notes:
            text += f"<br/>{notes[node].translate(_ENTITIES)}"
        lines.append(f"    {ids[node]}{_SHAPES[node.kind].format(text)}")
    for arrow in distinct:
        line = "-->" if arrow.starts else "-.->"
        label = f'|"{arrow.label.translate(_ENTITIES)}"|' if arrow.label else ""
        lines.append(f"    {ids[arrow.source]} {line}{label} {ids[arrow.target]}")
    return "\n".join(lines) + "\n"


def _ids(nodes: Iterable[Node]) -> dict[Node, str]:
    """Names that Mermaid takes, readable in a diff: `repo_images`, `step_edges`."""
    ids: dict[Node, str] = {}
    taken: set[str] = set()
    for node in nodes:
        plain = f"{node.kind}_{re.sub(r'[^A-Za-z0-9]+', '_', node.name).strip('_')}"
        name, number = plain, 1
        while name in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name)
        ids[node] = name
    return ids
