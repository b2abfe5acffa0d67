"""Pushing a pipeline's image and pinning what was pushed: `update pipeline --push-images`.

A tag may mean another image tomorrow; a digest may not. So the image is pushed under a tag of its own, made of the
pipeline's name and the image's id, and the spec names the digest that the registry has. Pushing the same image again
changes nothing, neither there nor here. The pushing is done by the program that has the image: docker, podman or
buildah, with the log-ins and certificates that it knows.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_pachy.errors import Denied, InvalidArgument, PachyError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_pachy.pipelines.spec import PipelineSpec

PROGRAMS = ("docker", "podman", "buildah")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Its progress names other digests, of layers and of the configuration: only this one is the image's.
_PUSHED = re.compile(rf"digest: ({_DIGEST.pattern})")
_REFUSED = re.compile(r"unauthori[sz]ed|authentication required|access.*denied|denied:|forbidden", re.IGNORECASE)
_PLAIN_HTTP = "server gave HTTP response to HTTPS client"
_UNKNOWN_CERTIFICATE = "x509:"


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image on this machine: the program that has it, by its path, and what it calls it (hex)."""

    program: str
    id: str

    @property
    def docker(self) -> bool:
        """Whether a Docker daemon pushes; podman and buildah do it themselves."""
        return Path(self.program).name == "docker"


def push_image(
    spec: PipelineSpec, *, registry: str | None = None, program: str | None = None, tls_verify: bool = True
) -> PipelineSpec:
    """Push the image of the pipeline; returns the spec with its digest.

    `registry` replaces the image's own, as `host:port/path`. `program` is one of docker, podman and buildah, by default
    the first that has the image. Without `tls_verify`, podman and buildah speak to a registry that has plain HTTP
    or a certificate nobody knows; Docker's daemon has its own list of those. Raises `InvalidArgument` if the
    image is not here, there is no program, or the image is pinned already, `Denied` if the registry refuses,
    and `Unavailable` with the program's own words if it fails otherwise.
    """
    image = spec.transform.image
    if not image or "@" in image:
        raise InvalidArgument(
            f"pipeline {spec.name!r}: its image is {image!r}; --push-images needs a name that was built here, "
            "such as edges:1, not a digest"
        )
    if registry is None and "/" not in image:
        raise InvalidArgument(
            f"pipeline {spec.name!r}: its image {image!r} names no registry to push to; say which with "
            "--registry HOST/PATH, or name it in the spec: HOST/PATH/NAME:TAG"
        )
    target = _target(image, registry)
    local = _find(spec.name, image, _installed(program))
    tagged = f"{target}:{spec.name}-{local.id[:12]}"
    digest = _docker_push(local, image, tagged) if local.docker else _push(local, image, tagged, tls_verify=tls_verify)
    transform = spec.transform.model_copy(update={"image": f"{target}@{digest}"})
    return spec.model_copy(update={"transform": transform})


def _target(image: str, registry: str | None) -> str:
    """Where the image goes, without a tag."""
    head, slash, tail = image.rpartition("/")
    bare = tail.partition(":")[0]
    return f"{registry.rstrip('/')}/{bare}" if registry else f"{head}{slash}{bare}"


def _host(target: str) -> str:
    first, slash, _ = target.partition("/")
    return first if slash and (first == "localhost" or "." in first or ":" in first) else "docker.io"


def _installed(wanted: str | None) -> list[str]:
    candidates = PROGRAMS if wanted is None else (wanted,)
    found = [path for name in candidates if (path := shutil.which(name)) is not None]
    if not found:
        raise InvalidArgument(
            f"--push-images needs {' or '.join(candidates)}, and none is installed here; push the image yourself and "
            "name its digest in the spec: name@sha256:..."
        )
    return found


def _find(pipeline: str, image: str, programs: Iterable[str]) -> LocalImage:
    """The image in the first program that has it: a machine with several may have built it with any of them."""
    answers = []
    for program in programs:
        words = (
            ("inspect", "--type", "image", "--format", "{{.FromImageID}}")
            if Path(program).name == "buildah"
            else ("image", "inspect", "--format", "{{.Id}}")
        )
        done = _call(program, *words, image)
        if done.returncode == 0 and (found := done.stdout.strip().rpartition(":")[2]):
            return LocalImage(program, found)
        answers.append(f"{Path(program).name}: {_said(done)}")
    raise InvalidArgument(
        f"pipeline {pipeline!r}: there is no image {image!r} on this machine ({'; '.join(answers)}); build it first "
        "under that name, or leave --push-images away if it is in its registry already"
    )


def _docker_push(local: LocalImage, image: str, tagged: str) -> str:
    _run(local, "tag", image, tagged)
    output = _run(local, "push", tagged)
    found = _PUSHED.findall(output)
    if not found:
        repo = tagged.rpartition(":")[0].removeprefix("docker.io/").removeprefix("library/")
        known = json.loads(_run(local, "image", "inspect", "--format", "{{json .RepoDigests}}", tagged) or "null") or ()
        found = [digest for name, _, digest in (one.partition("@") for one in known) if name == repo]
    if not found:
        raise Unavailable(f"docker pushed {tagged} and did not say its digest: {output[-500:]}")
    return str(found[-1])


def _push(local: LocalImage, image: str, tagged: str, *, tls_verify: bool) -> str:
    options = () if tls_verify else ("--tls-verify=false",)
    with tempfile.TemporaryDirectory() as folder:
        digest = Path(folder) / "digest"
        _run(local, "push", *options, "--digestfile", str(digest), image, f"docker://{tagged}")
        return digest.read_text().strip()


def _run(local: LocalImage, *words: str) -> str:
    done = _call(local.program, *words)
    if done.returncode != 0:
        raise _failure(local, f"{words[0]} {words[-1].removeprefix('docker://')}", _said(done))
    return done.stdout


def _call(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run([program, *words], check=False, capture_output=True, text=True)
    except OSError as error:
        raise Unavailable(f"{program} does not run: {error}") from error


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of what a program said, which with all of them is the reason."""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1].removeprefix("Error: ") if lines else "without a word"


def _failure(local: LocalImage, what: str, said: str) -> PachyError:
    name = Path(local.program).name
    message = f"{name} {what} failed, and no pipeline was changed: {said}"
    host = _host(what.partition(" ")[2])
    if _REFUSED.search(said):
        return Denied(f"{message}. Log in as somebody who may push there with: {name} login {host}")
    if _PLAIN_HTTP in said:
        remedy = (
            f"list {host} as one of insecure-registries in the daemon.json" if local.docker else "--tls-verify=false"
        )
        return Unavailable(f"{message}. If the registry is meant to have no TLS: {remedy}")
    if _UNKNOWN_CERTIFICATE in said:
        folder = "/etc/docker" if local.docker else "/etc/containers"
        return Unavailable(f"{message}. Put the certificate of its authority into {folder}/certs.d/{host}/ca.crt")
    return Unavailable(message)
