"""The receiver of git servers' webhooks, called as these call it."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from fastapi.testclient import TestClient

from airflow_pachy.assets import git_asset, git_uri
from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pipelines.inputs.git import repository_address
from airflow_pachy.plugin import PachyPlugin, webhook
from airflow_pachy.plugin.pushes import Push, RateLimit
from airflow_pachy.plugin.webhook import webhook_app

SECRET = "correct horse"
GITHUB = {
    "ref": "refs/heads/main",
    "after": "a" * 40,
    "deleted": False,
    "repository": {
        "clone_url": "https://github.com/Owner/Project.git",
        "ssh_url": "git@github.com:Owner/Project.git",
        "url": "https://github.com/Owner/Project",
    },
}
GITLAB = {
    "object_kind": "push",
    "ref": "refs/heads/release/1.x",
    "checkout_sha": "b" * 40,
    "project": {
        "git_http_url": "https://gitlab.example.com/owner/project.git",
        "web_url": "https://gitlab.example.com/owner/project",
    },
}


class Woken:
    def __init__(self):
        self.pushes = []

    def __call__(self, push):
        self.pushes.append(push)
        return ["edges"]


@pytest.fixture
def woken():
    return Woken()


@pytest.fixture
def client(woken):
    return TestClient(webhook_app(SECRET, woken, RateLimit(60, 1000)), raise_server_exceptions=False)


def signed(document, secret=SECRET, **headers):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"content": body, "headers": {"X-Hub-Signature-256": f"sha256={digest}", **headers}}


def test_a_push_of_github_wakes_what_waits_for_the_branch(client, woken):
    answer = client.post("/git", **signed(GITHUB, **{"X-GitHub-Event": "push"}))
    assert (answer.status_code, answer.json()) == (202, {"branch": "main", "revision": "a" * 40, "woken": ["edges"]})
    assert woken.pushes == [Push(frozenset({"github.com/owner/project"}), "main", "a" * 40)]


def test_a_push_of_gitlab_has_its_secret_as_a_token(client, woken):
    headers = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": SECRET}
    assert client.post("/git", json=GITLAB, headers=headers).status_code == 202
    assert woken.pushes == [Push(frozenset({"gitlab.example.com/owner/project"}), "release/1.x", "b" * 40)]
    assert client.post("/git", json=GITLAB, headers={**headers, "X-Gitlab-Token": "nope"}).status_code == 401


def test_gitea_signs_without_saying_how(client):
    body = json.dumps(GITHUB).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert (
        client.post("/git", content=body, headers={"X-Gitea-Signature": digest, "X-Gitea-Event": "push"}).status_code
        == 202
    )


def test_anything_else_names_repository_and_branch(client, woken):
    plain = {"url": "ssh://git@forge.example:project.git", "branch": "main"}
    answer = client.post("/git", json=plain, headers={"Authorization": f"Bearer {SECRET}"})
    assert answer.status_code == 202
    assert woken.pushes == [Push(frozenset({"forge.example/project"}), "main", "")]


@pytest.mark.parametrize(
    "request_",
    [
        {"json": GITHUB},
        signed(GITHUB, secret="wrong"),
        {"content": b"{}", "headers": {"X-Hub-Signature-256": "sha256="}},
        {"json": GITHUB, "headers": {"X-Gitlab-Token": ""}},
        {"json": GITHUB, "headers": {"Authorization": "Bearer "}},
        {"content": b"{", "headers": {"X-Hub-Signature": "sha1=abc"}},
    ],
)
def test_who_does_not_know_the_secret_is_refused(client, woken, request_):
    assert client.post("/git", **request_).status_code == 401
    assert woken.pushes == []


def test_a_changed_body_is_refused(client, woken):
    request = signed(GITHUB)
    request["content"] = request["content"].replace(b"main", b"evil")
    assert client.post("/git", **request).status_code == 401
    assert woken.pushes == []


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({**GITHUB, "ref": "refs/tags/v1"}, "refs/tags/v1 is not a branch"),
        ({**GITHUB, "deleted": True}, "refs/heads/main was deleted"),
        ({**GITHUB, "after": "0" * 40}, "refs/heads/main was deleted"),
    ],
)
def test_what_is_not_a_push_to_a_branch_is_ignored(client, woken, payload, why):
    answer = client.post("/git", **signed(payload))
    assert (answer.status_code, answer.json()) == (200, {"ignored": why})
    assert woken.pushes == []


def test_a_ping_is_answered(client):
    answer = client.post("/git", **signed({"zen": "x"}, **{"X-GitHub-Event": "ping"}))
    assert (answer.status_code, answer.json()) == (200, {"ignored": "it is a ping event"})


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"payload=%7B%7D", "choose application/json"),
        (b"[]", "not a JSON object"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", 'neither "ref"'),
        (b'{"ref": "refs/heads/x"}', "which repository"),
        (b'{"ref": "refs/heads/x", "repository": "y"}', "which repository"),
        (b'{"ref": 5}', 'neither "ref"'),
        (b'{"branch": "x"}', 'lacks its "url"'),
        (b'{"branch": "x", "url": 5}', 'lacks its "url"'),
    ],
)
def test_a_body_that_is_no_payload_says_so(client, woken, body, why):
    answer = client.post("/git", **signed(body))
    assert answer.status_code == 400
    assert why in answer.json()["detail"]
    assert woken.pushes == []


def test_large_bodies_are_not_read(client, monkeypatch):
    monkeypatch.setattr(webhook, "MAX_BODY_BYTES", 100)
    assert client.post("/git", **signed(b"x" * 101)).status_code == 413
    chunks = (b"x" * 60 for _ in range(3))  # without a length
    assert client.post("/git", content=chunks).status_code == 413


def test_too_many_requests_are_told_when_to_come_again(woken):
    now = [0.0]
    client = TestClient(webhook_app(SECRET, woken, RateLimit(per_minute=30, burst=2, clock=lambda: now[0])))
    codes = [client.post("/git", **signed(GITHUB)).status_code for _ in range(3)]
    assert codes == [202, 202, 429]
    assert client.post("/git", **signed(GITHUB)).headers["Retry-After"] == "2"
    now[0] = 2.0
    assert client.post("/git", **signed(GITHUB)).status_code == 202


def test_when_airflow_does_not_take_it_the_sender_is_told_to_send_it_again():
    def fails(push):
        raise OSError("the database is away")

    answer = TestClient(webhook_app(SECRET, fails)).post("/git", **signed(GITHUB))
    assert answer.status_code == 503
    assert "database" not in answer.text


def test_it_is_a_post(client):
    assert client.get("/git").status_code == 405


def test_there_is_none_without_a_secret(monkeypatch):
    monkeypatch.delenv("AIRFLOW__PACHY__WEBHOOK_SECRET", raising=False)
    assert PachyPlugin.fastapi_apps == []
    with pytest.raises(InvalidArgument, match="webhook_secret"):
        webhook_app("")
    monkeypatch.setenv("AIRFLOW__PACHY__WEBHOOK_SECRET", SECRET)
    (app,) = PachyPlugin.fastapi_apps
    assert app["url_prefix"] == "/pachy-hooks"
    assert TestClient(app["app"]).post("/git", json=GITHUB).status_code == 401


@pytest.mark.parametrize(
    "url",
    ["https://github.com/Owner/Project.git", "git@github.com:owner/project.git", "ssh://git@github.com/owner/project"],
)
def test_the_asset_of_a_branch_is_the_same_whatever_the_way_to_its_repository(url):
    asset = git_asset(url, "release/1.x")
    assert (
        asset.uri
        == git_uri("github.com/owner/project", "release/1.x")
        == git_uri(repository_address(url), "release/1.x")
    )


def test_a_repository_without_a_host_has_an_asset_too():
    asset = git_asset("file:///srv/git/project.git", "main")
    assert asset.uri == git_uri(repository_address("file:///srv/git/project.git"), "main")
