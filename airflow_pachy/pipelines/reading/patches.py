"""The two ways in which specs and defaults are laid over one another: JSON merge patches and JSON patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_pachy.errors import InvalidSpec


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: objects are merged, null removes, everything else replaces. Neither argument is changed."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def check_patch(operations: Any) -> None:
    """Raise `InvalidSpec` unless this is a JSON patch (RFC 6902), a list of operations."""
    import jsonpatch

    if not isinstance(operations, Sequence) or isinstance(operations, (str, bytes)):
        raise InvalidSpec(
            'a JSON patch is a list of operations such as {"op": "add", "path": "/hostNetwork", "value": true}, '
            f"not {type(operations).__name__}"
        )
    for number, operation in enumerate(operations):
        try:
            jsonpatch.JsonPatch([operation])
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, AttributeError) as error:
            raise InvalidSpec(f"operation {number} of the JSON patch, {operation!r}: {error}") from error


def patch_pod_spec(
    spec: Mapping[str, Any], *, pod_spec: Mapping[str, Any] | None = None, pod_patch: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """A pod's spec, in Kubernetes' own JSON, with `pod_spec` merged over it and then the operations of `pod_patch`.

    Raises `InvalidSpec` for an operation that does not fit this pod.
    """
    import jsonpatch

    changed: dict[str, Any] = merge_patch(spec, pod_spec or {})
    for number, operation in enumerate(pod_patch):
        try:
            changed = jsonpatch.apply_patch(changed, [dict(operation)])
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
            raise InvalidSpec(
                f"operation {number} of pod_patch, {dict(operation)!r}, does not fit the pod: {error}. Its spec has "
                f"{', '.join(sorted(changed))}; the first container is the user's"
            ) from error
    return changed
