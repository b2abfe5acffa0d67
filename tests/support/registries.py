"""A real image registry (Distribution's, as Debian packages it) on loopback, and images built by the real buildah."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MISSING = [name for name in ("docker-registry", "buildah") if shutil.which(name) is None]
needs_a_registry = pytest.mark.skipif(
    bool(_MISSING), reason=f"{' and '.join(_MISSING)} not installed: apt-get install docker-registry buildah"
)
# `htpasswd -nbB -C 4 pusher secret`
PUSHER = "pusher:$2b$04$MQE0W3KjvY684Sn2IE5MoeHRUoeQUgb6uqFItLCTLK6nIJS9ePfFG"
_MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Registry:
    """A registry that is up; `credentials` (name:password) are those with which its API is asked."""

    host: str
    credentials: str | None = None

    def tags(self, repo: str) -> list[str]:
        return self._get(f"{repo}/tags/list")[1]["tags"]

    def digest(self, repo: str, reference: str) -> str:
        return self._get(f"{repo}/manifests/{reference}")[0]["docker-content-digest"]

    def repos(self) -> list[str]:
        return self._get("_catalog")[1]["repositories"]

    def _get(self, path: str) -> tuple[dict[str, str], Any]:
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", headers={"Accept": _MANIFESTS})
        if self.credentials:
            request.add_header("Authorization", f"Basic {base64.b64encode(self.credentials.encode()).decode()}")
        with closing(_direct.open(request, timeout=60)) as answer:
            return {name.lower(): value for name, value in answer.headers.items()}, json.load(answer)


@contextmanager
def a_registry(home: Path, *, users: str | None = None, credentials: str | None = None) -> Iterator[Registry]:
    """A registry of plain HTTP on a free port; with `users`, lines of an htpasswd file, it asks who somebody is."""
    home.mkdir()
    host = f"127.0.0.1:{free_port()}"
    config: dict[str, Any] = {
        "version": "0.1",
        "log": {"accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(home / "data")}},
        "http": {"addr": host},
    }
    if users is not None:
        (home / "users").write_text(f"{users}\n")
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(home / "users")}}
    (home / "config.json").write_text(json.dumps(config))
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", str(home / "config.json")], stdout=log, stderr=log)
    try:
        _wait_until_up(host, server, home / "log")
        yield Registry(host, credentials)
    finally:
        server.kill()
        server.wait()


@dataclass(frozen=True)
class ImageStore:
    """Images of a user of their own, in a storage driver that needs no mounts; `environment` leads programs to it."""

    environment: dict[str, str]
    auth_file: Path

    @classmethod
    def make(cls, home: Path) -> ImageStore:
        """Without log-ins, and with buildah as the only program on the PATH."""
        storage = {"driver": "vfs", "graphroot": str(home / "graph"), "runroot": str(home / "run")}
        lines = "\n".join(f'{name} = "{value}"' for name, value in storage.items())
        (home / "storage.conf").write_text(f"[storage]\n{lines}\n")
        (home / "bin").mkdir()
        (home / "bin" / "buildah").symlink_to(str(shutil.which("buildah")))
        environment = {
            "PATH": str(home / "bin"),
            "CONTAINERS_STORAGE_CONF": str(home / "storage.conf"),
            "REGISTRY_AUTH_FILE": str(home / "auth.json"),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        store = cls(environment, home / "auth.json")
        store.log_in()
        return store

    def log_in(self, host: str | None = None, credentials: str = "") -> None:
        """Know one registry's name:password, whether it is right or not, and none of others."""
        auths = {} if host is None else {host: {"auth": base64.b64encode(credentials.encode()).decode()}}
        self.auth_file.write_text(json.dumps({"auths": auths}))

    def build(self, name: str, context: Path, dockerfile: str) -> None:
        """Build an image from the files of a folder."""
        (context / "Dockerfile").write_text(dockerfile)
        command = ["buildah", "build", "--isolation", "chroot", "-q", "-t", name, str(context)]
        environment = {**os.environ, **self.environment, "PATH": os.environ["PATH"]}
        built = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if built.returncode != 0 and os.geteuid() != 0:
            pytest.skip(f"buildah builds nothing for this user: {built.stderr}")
        assert built.returncode == 0, built.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _wait_until_up(host: str, server: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            _direct.open(f"http://{host}/v2/", timeout=60).close()
        except urllib.error.HTTPError as asked:
            asked.close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > give_up:
                pytest.fail(f"the registry does not come up: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        else:
            return
