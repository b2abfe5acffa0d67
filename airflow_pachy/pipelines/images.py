"""Pushing a pipeline's image and pinning what was pushed: `update pipeline --push-images`.

A tag may mean another image tomorrow; a digest may not. So the image gets a tag of its own, is pushed under it, and the
spec names its digest. The pushing is done by the program that built the image: docker, podman or buildah.
"""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_pachy.errors import InvalidArgument, Unavailable

if TYPE_CHECKING:
    from airflow_pachy.pipelines.spec import PipelineSpec

PROGRAMS = ("docker", "podman", "buildah")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def push_image(spec: PipelineSpec, *, registry: str | None = None, program: str | None = None) -> PipelineSpec:
    """Tag and push the image of the pipeline; returns the spec with its digest.

    `registry` replaces the image's own, as `host:port/path`. `program` is one of docker, podman and buildah,
    by default the first that is installed. Raises `InvalidArgument` if there is none or the image is pinned
    already, `Unavailable` with the program's own words if it fails.
    """
    image = spec.transform.image
    if not image or "@" in image:
        raise InvalidArgument(
            f"pipeline {spec.name!r}: its image is {image!r}; --push-images needs a name that was built here, "
            "such as edges:1, not a digest"
        )
    target = _target(image, registry)
    tagged = f"{target}:{spec.name}-{secrets.token_hex(6)}"
    tool = _program(program)
    _run(tool, "tag", image, tagged)
    digest = _buildah_push(tool, tagged) if tool.endswith("buildah") else _docker_push(tool, tagged)
    transform = spec.transform.model_copy(update={"image": f"{target}@{digest}"})
    return spec.model_copy(update={"transform": transform})


def _target(image: str, registry: str | None) -> str:
    """Where the image goes, without a tag."""
    head, slash, tail = image.rpartition("/")
    bare = tail.partition(":")[0]
    return f"{registry.rstrip('/')}/{bare}" if registry else f"{head}{slash}{bare}"


def _program(wanted: str | None) -> str:
    candidates = PROGRAMS if wanted is None else (wanted,)
    for name in candidates:
        if (found := shutil.which(name)) is not None:
            return found
    raise InvalidArgument(
        f"--push-images needs {' or '.join(candidates)}, and none is installed here; push the image yourself and name "
        "its digest in the spec: name@sha256:..."
    )


def _docker_push(tool: str, tagged: str) -> str:
    output = _run(tool, "push", tagged)
    found = _DIGEST.findall(output) or _DIGEST.findall(_run(tool, "inspect", "--format", "{{.RepoDigests}}", tagged))
    if not found:
        raise Unavailable(f"{tool} pushed {tagged} and did not say its digest: {output[-500:]}")
    return str(found[-1])


def _buildah_push(tool: str, tagged: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        digest = Path(folder) / "digest"
        _run(tool, "push", "--digestfile", str(digest), tagged)
        return digest.read_text().strip()


def _run(tool: str, *words: str) -> str:
    done = subprocess.run([tool, *words], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"{Path(tool).name} {words[0]} {words[-1]} failed: {said[-1] if said else 'without a word'}")
    return f"{done.stdout}\n{done.stderr}"
