"""`--push-images` with the real buildah and a real registry, on loopback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.registries import PUSHER, ImageStore, Registry, a_registry, free_port, needs_a_registry

from airflow_pachy.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.registry, needs_a_registry]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with a_registry(tmp_path_factory.mktemp("open") / "registry") as up:
        yield up


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return ImageStore.make(tmp_path_factory.mktemp("images"))


@pytest.fixture
def build(tmp_path: Path, images: ImageStore) -> Any:
    def make(name: str, code: str) -> None:
        (context := tmp_path / "context").mkdir(exist_ok=True)
        (context / "code").write_text(code)
        images.build(name, context, "FROM scratch\nCOPY code /\n")

    return make


@pytest.fixture
def pachy(
    tmp_path: Path, images: ImageStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Any:
    where = {"PACHY_STORAGE": f"file://{tmp_path}/store", "PACHY_METADATA": f"sqlite:///{tmp_path}/names.db"}

    def run(*arguments: str, fails: bool = False) -> str:
        capfd.readouterr()
        with monkeypatch.context() as context:
            for name, value in {**images.environment, **where}.items():
                context.setenv(name, value)
            code = main(arguments)
        said = capfd.readouterr()
        assert (code != 0) == fails, said
        return said.err if fails else said.out

    run("create", "repo", "images")
    return run


@pytest.fixture
def spec(tmp_path: Path) -> Any:
    def write(image: str, **more: Any) -> str:
        transform = {"image": image, "cmd": ["edges"]}
        inputs = {"pfs": {"repo": "images", "glob": "/*"}}
        path = tmp_path / "edges.json"
        path.write_text(json.dumps({"pipeline": {"name": "edges"}, "input": inputs, "transform": transform, **more}))
        return str(path)

    return write


def pinned(pachy: Any) -> tuple[int, str]:
    """The pipeline's version and image."""
    found = json.loads(pachy("inspect", "pipeline", "edges", "--json"))
    return found["version"], found["spec"]["transform"]["image"]


def test_what_is_pinned_is_what_the_registry_has(pachy, build, spec, registry):
    build("edges:1", "one")
    push = ("--push-images", "--registry", f"{registry.host}/team", "--tls-verify=false")
    assert pachy("create", "pipeline", "-f", spec("edges:1"), *push) == "edges version 1\n"
    (tag,) = registry.tags("team/edges")
    assert tag.startswith("edges-")
    first = registry.digest("team/edges", tag)
    assert pinned(pachy) == (1, f"{registry.host}/team/edges@{first}")

    # Again: nothing changes, there or here.
    assert pachy("update", "pipeline", "-f", spec("edges:1"), *push) == "edges version 1\n"
    assert (registry.tags("team/edges"), pinned(pachy)) == ([tag], (1, f"{registry.host}/team/edges@{first}"))

    # Other code under the same name is another image; the first stays where its digest says.
    build("edges:1", "two")
    assert pachy("update", "pipeline", "-f", spec("edges:1"), *push) == "edges version 2\n"
    (other,) = set(registry.tags("team/edges")) - {tag}
    second = registry.digest("team/edges", other)
    assert second != first
    assert pinned(pachy) == (2, f"{registry.host}/team/edges@{second}")
    assert registry.digest("team/edges", first) == first


def test_the_registry_may_be_part_of_the_images_name(pachy, build, spec, registry):
    name = f"{registry.host}/deep/er/edges:1"
    build(name, "one")
    assert pachy("update", "pipeline", "-f", spec(name), "--push-images", "--tls-verify=false") == "edges version 1\n"
    (tag,) = registry.tags("deep/er/edges")
    assert pinned(pachy) == (1, f"{registry.host}/deep/er/edges@{registry.digest('deep/er/edges', tag)}")


def test_what_cannot_be_pushed_changes_nothing(pachy, build, spec, registry):
    build("edges:1", "one")
    pachy("create", "pipeline", "-f", spec("edges:1"))

    def refused(image: str, *options: str) -> str:
        path = spec(image, description="better")
        said = pachy("update", "pipeline", "-f", path, "--push-images", *options, fails=True)
        assert pinned(pachy) == (1, "edges:1")
        return said

    absent = refused("edges:nowhere", "--registry", registry.host)
    assert "pipeline 'edges': there is no image 'edges:nowhere' on this machine (buildah: " in absent
    assert "build it first under that name" in absent
    assert "'edges:1' names no registry to push to; say which with --registry" in refused("edges:1")
    tls = refused("edges:1", "--registry", f"{registry.host}/kept")
    assert "HTTP response to HTTPS client. If the registry is meant to have no TLS: --tls-verify=false" in tls
    down = f"127.0.0.1:{free_port()}"
    gone = refused("edges:1", "--registry", down, "--tls-verify=false")
    assert f"buildah push {down}/edges:edges-" in gone
    assert "connection refused" in gone
    assert "kept/edges" not in registry.repos()


def test_a_registry_that_asks_who_pushes(pachy, build, spec, images, tmp_path):
    build("edges:1", "one")
    with a_registry(tmp_path / "closed", users=PUSHER, credentials="pusher:secret") as closed:
        target = ("--registry", closed.host, "--tls-verify=false")
        push = ("update", "pipeline", "-f", spec("edges:1"), "--push-images", *target)
        unknown = pachy(*push, fails=True)
        images.log_in(closed.host, "pusher:wrong")
        for refused in (unknown, pachy(*push, fails=True)):
            assert f"Log in as somebody who may push there with: buildah login {closed.host}" in refused
        assert "there is no pipeline 'edges'" in pachy("inspect", "pipeline", "edges", fails=True)
        assert closed.repos() == []
        images.log_in(closed.host, "pusher:secret")
        assert pachy(*push) == "edges version 1\n"
        (tag,) = closed.tags("edges")
        assert pinned(pachy) == (1, f"{closed.host}/edges@{closed.digest('edges', tag)}")
