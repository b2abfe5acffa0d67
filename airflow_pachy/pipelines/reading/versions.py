"""Older forms of a spec in today's: the list of inputs before 1.5, and fields that moved.

Works on documents in our vocabulary (`canonical`), and knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.pipelines.reading.canonical import Finding

# What method names mean before 1.4: (partition, incremental).
_METHODS = {
    "map": ("BLOCK", "DIFF"),
    "reduce": ("FILE", "NONE"),
    "incremental_reduce": ("FILE", "DIFF"),
    "global": ("REPO", "NONE"),
}
_PARTITIONS = {"BLOCK": "/*", "FILE": "/*", "REPO": "/"}
_INCREMENTALS = ("NONE", "DIFF", "FILE")
# Fields that no 2.x spec has. A pipeline that was written for 1.x may rely on collisions being appended.
_ONLY_1X = (
    "input.atom",
    "inputs",
    "input.git",
    "chunk_spec",
    "standby",
    "cache_size",
    "max_queue_size",
    "hashtree_spec",
)


def modern(value: Mapping[str, Any], findings: Sequence[Finding]) -> dict[str, Any]:
    """The document in the form of 2.x. Raises `ValueError` saying what cannot be told."""
    result = dict(value)
    if result.get("inputs") is not None:
        result = _without_input_list(result)
    result.pop("inputs", None)
    for older in ("parallelism", "shards"):
        count = result.pop(older, None)
        if count and not (result.get("parallelism_spec") or {}).get("constant"):
            result["parallelism_spec"] = {"constant": count}
    if result.pop("no_skip", None):
        result["reprocess_spec"] = "every_job"
    transform = result.get("transform")
    if isinstance(transform, Mapping) and "overwrite" in transform:
        rest = dict(transform)
        if rest.pop("overwrite"):
            result.setdefault("on_collision", "overwrite")
        result["transform"] = rest
    if any(found.field.plain_path in _ONLY_1X for found in findings):
        result.setdefault("on_collision", "append")
    return result


def complete_inputs(value: Mapping[str, Any]) -> dict[str, Any]:
    """The document with what inputs take from their pipeline: the repos of cron inputs and the branches of triggers."""
    pipeline = value.get("pipeline")
    name = pipeline.get("name") if isinstance(pipeline, Mapping) else None
    if not isinstance(name, str) or not isinstance(value.get("input"), Mapping):
        return dict(value)
    return {**value, "input": _completed(value["input"], name, [0])}


def _completed(node: Any, pipeline: str, triggers: list[int]) -> Any:
    if not isinstance(node, Mapping):
        return node
    result: dict[str, Any] = {}
    for kind, body in node.items():
        if isinstance(body, (list, tuple)):
            result[kind] = [_completed(member, pipeline, triggers) for member in body]
        elif kind == "cron" and isinstance(body, Mapping) and not body.get("repo") and body.get("name"):
            result[kind] = {**body, "repo": f"{pipeline}_{body['name']}"}
        elif kind == "pfs" and isinstance(body, Mapping) and isinstance(body.get("trigger"), Mapping):
            triggers[0] += 1
            result[kind] = _triggered(body, f"{pipeline}-trigger-{triggers[0]}")
        else:
            result[kind] = body
    return result


def _triggered(body: Mapping[str, Any], branch: str) -> dict[str, Any]:
    """The input reads a branch of its own, which follows the one it names."""
    trigger = body["trigger"]
    followed = trigger.get("branch") or body.get("branch") or "master"
    if followed == branch:
        followed = "master"
    return {**body, "branch": branch, "trigger": {**trigger, "branch": followed}}


def _without_input_list(value: dict[str, Any]) -> dict[str, Any]:
    if value.get("input") is not None:
        raise ValueError("'inputs' is the form before 1.5 of 'input'; keep only one of them")
    inputs = value.pop("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise ValueError("'inputs' is a list of inputs with at least one in it")
    leaves: list[dict[str, dict[str, Any]]] = []
    incremental: list[bool] = []
    for place, one in enumerate(inputs):
        leaf, diff = _input_of_list(one, f"inputs[{place}]")
        leaves.append({"pfs": leaf})
        incremental.append(diff)
    # Of several inputs each pair of pieces was seen together once, which is what a cross of them is.
    value["input"] = leaves[0] if len(leaves) == 1 else {"cross": leaves}
    if any(incremental):
        value["incremental"] = True
        for leaf, diff in zip(leaves, incremental, strict=True):
            leaf["pfs"] |= {} if diff else {"incremental": False}
    return value


def _input_of_list(one: Any, at: str) -> tuple[dict[str, Any], bool]:
    """The pfs input, and whether it shows new files only."""
    repo = one.get("repo") if isinstance(one, Mapping) else None
    repo = repo.get("name") if isinstance(repo, Mapping) else repo
    if not isinstance(repo, str) or not repo:
        raise ValueError(f'{at}: an input of this form names its repo as "repo": {{"name": ...}}')
    leaf = {name: one[name] for name in ("name", "branch", "lazy", "glob") if one.get(name) is not None}
    if "glob" in leaf:
        if one.get("method") is not None:
            raise ValueError(f"{at}: 'method' (before 1.4) and 'glob' (since) say the same thing; keep the glob")
        return {"repo": repo, **leaf}, False
    partition, incremental = _method(one.get("method") or "map", at)
    if partition == "REPO" and incremental == "FILE":
        raise ValueError(
            f"{at}: changed files of the whole repo in one container (REPO with FILE) cannot be told here; "
            "with partition FILE each changed file is a datum of its own"
        )
    # A block is a piece of a file that says nothing about its surroundings, so running a changed file again gives
    # what running its new blocks would, and nothing is lost when data was changed or removed.
    return {"repo": repo, "glob": _PARTITIONS[partition], **leaf}, incremental == "DIFF" and partition != "BLOCK"


def _method(method: Any, at: str) -> tuple[str, str]:
    if isinstance(method, str):
        if method.lower() not in _METHODS:
            raise ValueError(f"{at}.method: {method!r} is none of {', '.join(_METHODS)}")
        return _METHODS[method.lower()]
    if not isinstance(method, Mapping):
        raise ValueError(f"{at}.method: a name, or an object with 'partition' and 'incremental', not {method!r}")  # noqa: TRY004 - pydantic's rule
    partition = str(method.get("partition") or "BLOCK").upper()
    incremental = str(method.get("incremental") or "NONE").upper()
    if incremental == "TRUE":  # 1.0 knew yes and no
        incremental = "DIFF"
    for name, found, known in (("partition", partition, _PARTITIONS), ("incremental", incremental, _INCREMENTALS)):
        if found not in known:
            raise ValueError(f"{at}.method.{name}: {found!r} is none of {', '.join(known)}")
    return partition, incremental
