"""DVC both ways, with DVC's own command line on the other side."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from airflow_pachy.cli import main
from airflow_pachy.errors import Corrupt, Denied, InvalidArgument, PathNotFound, Unavailable
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.dvc import project as dvc_project
from airflow_pachy.pfs.dvc.urls import parse_url

pytest.importorskip("dvc.api", reason="DVC is not installed: pip install 'airflow-provider-pachy[dvc]'")
if shutil.which("git") is None:
    pytest.skip("git is not installed", allow_module_level=True)

QUIET = {
    "DVC_NO_ANALYTICS": "1",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


def run(directory: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=directory, env={**os.environ, **QUIET}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def git(directory: Path, *arguments: str) -> str:
    return run(directory, "git", *arguments)


def dvc(directory: Path, *arguments: str) -> str:
    return run(directory, sys.executable, "-m", "dvc", *arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A project `pets` with the revisions v1 and v2, its data only in the remote beside it."""
    home = tmp_path_factory.mktemp("dvc")
    project = home / "pets"
    images = project / "data" / "images"
    (images / "cats").mkdir(parents=True)
    for name in ("a.png", "b.png", "gone.png", "cats/tom.png"):
        (images / name).write_text(f"first {name}")
    (project / "model.bin").write_bytes(b"model" * 1000)
    (project / "README.md").write_text("pets")
    git(project, "init", "-q", "-b", "main")
    dvc(project, "init", "-q")
    dvc(project, "remote", "add", "-q", "-d", "store", str(home / "remote"))
    dvc(project, "add", "-q", "data/images", "model.bin")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "one")
    git(project, "tag", "v1")
    dvc(project, "push", "-q")
    (images / "b.png").write_text("second b.png, longer")
    (images / "gone.png").unlink()
    (images / "new.png").write_text("new")
    dvc(project, "add", "-q", "data/images")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "two")
    git(project, "tag", "v2")
    dvc(project, "push", "-q")
    shutil.rmtree(project / ".dvc" / "cache")
    return home


@pytest.fixture
def pets(made, tmp_path) -> Path:
    """A copy of the project with the remote of its own."""
    shutil.copytree(made, tmp_path / "dvc", symlinks=True)
    dvc_config = tmp_path / "dvc" / "pets" / ".dvc" / "config"
    dvc_config.write_text(dvc_config.read_text().replace(str(made), str(tmp_path / "dvc")))
    # The remote's place is in the history, too: there it is overridden by what is not committed.
    (tmp_path / "dvc" / "pets" / ".dvc" / "config.local").write_text(
        f"['remote \"store\"']\n    url = {tmp_path / 'dvc' / 'remote'}\n"
    )
    return tmp_path / "dvc" / "pets"


@pytest.fixture
def pfs(tmp_path):
    with Pfs.open((tmp_path / "store").as_uri(), f"sqlite:///{tmp_path / 'pachy.db'}") as client:
        client.create_repo("pets")
        yield client


def files(pfs, address="pets@master:/"):
    commit = address.partition(":")[0]
    return {one.path: pfs.get_file(f"{commit}:{one.path}").decode() for one in pfs.walk_file(address) if not one.is_dir}


FIRST = {f"/in/{name}": f"first {name}" for name in ("a.png", "b.png", "gone.png", "cats/tom.png")}
SECOND = {
    "/in/a.png": "first a.png",
    "/in/b.png": "second b.png, longer",
    "/in/cats/tom.png": "first cats/tom.png",
    "/in/new.png": "new",
}


@pytest.fixture
def reads(monkeypatch):
    """Paths of the project whose bytes were read."""
    real, paths = dvc_project.Project.open, []

    def counted(self, tracked):
        paths.append(tracked.path)
        return real(self, tracked)

    monkeypatch.setattr(dvc_project.Project, "open", counted)
    return paths


def test_a_directory_comes_with_its_origin_and_later_only_what_changed(pfs, pets, reads):
    pfs.put_url("pets@master:/in", f"dvc://{pets}//data/images?rev=v1")
    assert files(pfs) == FIRST
    first = pfs.inspect_commit("pets@master")
    assert first.labels == {
        "dvc.repo": str(pets),
        "dvc.path": "data/images",
        "dvc.rev": git(pets, "rev-parse", "v1"),
        "dvc.md5": next(
            line.split()[-1] for line in git(pets, "show", "v1:data/images.dvc").splitlines() if "md5" in line
        ),
        "dvc.target": "/in",
    }
    reads.clear()
    pfs.put_url("pets@master:/in", f"dvc://{pets}//data/images?rev=v2")
    assert files(pfs) == SECOND
    assert sorted(reads) == ["data/images/b.png", "data/images/new.png"]
    assert pfs.inspect_commit("pets@master").labels["dvc.rev"] == git(pets, "rev-parse", "v2")
    assert [one.id for one in pfs.list_commits("pets@master", labels={"dvc.rev": first.labels["dvc.rev"]})] == [
        first.id
    ]


def test_what_was_changed_here_is_put_right_and_what_is_ours_stays(pfs, pets, reads):
    pfs.put_url("pets@master:/in", f"dvc://{pets}//data/images?rev=v1")
    with pfs.commit("pets@master") as commit:
        commit.put_file("/in/a.png", b"mine")
        commit.put_file("/in/gone.png", b"mine")
        commit.put_file("/in/ours.txt", b"ours")
    reads.clear()
    pfs.put_url("pets@master:/in", f"dvc://{pets}//data/images?rev=v2")
    assert files(pfs) == SECOND | {"/in/gone.png": "mine", "/in/ours.txt": "ours"}
    assert "data/images/a.png" in reads


def test_files_and_what_git_keeps_and_whole_projects_can_be_put(pfs, pets):
    pfs.put_url("pets@master:/model", f"dvc://{pets}//model.bin?rev=v1")
    pfs.put_url("pets@master:/readme", f"dvc://{pets}//README.md")
    assert pfs.get_file("pets@master:/model") == b"model" * 1000
    assert pfs.get_file("pets@master:/readme") == b"pets"
    labels = pfs.inspect_commit("pets@master").labels
    assert labels["dvc.rev"] == git(pets, "rev-parse", "HEAD")
    assert "dvc.md5" not in labels
    pfs.put_url("pets@all:/", f"dvc://{pets}?rev=v2")
    assert sorted(files(pfs, "pets@all:/")) == [
        "/README.md", "/data/images/a.png", "/data/images/b.png", "/data/images/cats/tom.png", "/data/images/new.png",
        "/model.bin",
    ]  # fmt: skip


def test_several_origins_of_one_commit_are_kept_apart(pfs, pets):
    with pfs.commit("pets@master") as commit:
        commit.put_url("/in", f"dvc://{pets}//data/images?rev=v1")
        commit.put_url("/model", f"dvc://{pets}//model.bin?rev=v1")
        commit.put_url("/in", f"dvc://{pets}//data/images?rev=v2")
    labels = pfs.inspect_commit("pets@master").labels
    assert (labels["dvc.path"], labels["dvc.2.path"]) == ("data/images", "model.bin")
    assert labels["dvc.rev"] == git(pets, "rev-parse", "v2")
    assert "dvc.3.repo" not in labels
    assert files(pfs, "pets@master:/in") == SECOND


def test_a_rewritten_history_is_read_anew(pfs, pets, caplog):
    pfs.put_url("pets@master:/in", f"dvc://{pets}//data/images?rev=v1")
    git(pets, "checkout", "-q", "--orphan", "other")
    git(pets, "commit", "-qam", "anew")
    for name in ("v1", "v2"):
        git(pets, "tag", "-d", name)
    git(pets, "branch", "-D", "main")
    git(pets, "reflog", "expire", "--expire=now", "--all")
    git(pets, "gc", "-q", "--prune=now")
    pfs.put_url("pets@master:/in", f"dvc://{pets}//data/images")
    assert files(pfs) == SECOND | {"/in/gone.png": "first gone.png"}
    (warned,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "is read whole" in warned
    assert "cannot be compared with" in warned


def test_damaged_and_missing_data_are_told_and_nothing_is_put(pfs, pets):
    for stored in (pets.parent / "remote").rglob("*"):
        if stored.is_file() and stored.read_bytes() == b"first a.png":
            stored.chmod(0o644)
            stored.write_bytes(b"fIrst a.png")
            damaged = stored
    with pytest.raises(Corrupt, match=r"data/images/a.png of .*pets.* is not what DVC tracked"):
        pfs.put_url("pets@master:/in", f"dvc://{pets}//data/images?rev=v1")
    damaged.unlink()
    with pytest.raises(PathNotFound, match=r"data/images/a.png .* was it pushed"):
        pfs.put_url("pets@master:/in", f"dvc://{pets}//data/images?rev=v1")
    assert pfs.inspect_repo("pets").branches == ()


@pytest.fixture
def served(made):
    """The URL of the project's git repository, over HTTP; its DVC remote is on this machine."""

    class GitServer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            environment = {
                "GIT_PROJECT_ROOT": str(made),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }
            environment = {**os.environ, **QUIET, **environment}
            done = subprocess.run(["git", "http-backend"], env=environment, input=body, capture_output=True, check=True)
            head, _, answer = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET  # noqa: N815 - the server's name

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), GitServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/pets/.git"
    server.shutdown()
    server.server_close()


def test_a_git_repository_elsewhere_is_read_like_a_clone(pfs, made, served):
    pfs.put_url("pets@master:/in", f"dvc+{served}//data/images?rev=v1")
    assert files(pfs) == FIRST
    pfs.put_url("pets@master:/in", f"dvc+{served}//data/images")
    assert files(pfs) == SECOND
    labels = pfs.inspect_commit("pets@master").labels
    assert (labels["dvc.repo"], labels["dvc.rev"]) == (served, git(made / "pets", "rev-parse", "v2"))
    with pytest.raises(InvalidArgument, match="has no revision 'v9'"):
        pfs.put_url("pets@master:/in", f"dvc+{served}//data/images?rev=v9")


@pytest.mark.parametrize(
    ("url", "kind", "told"),
    [
        ("dvc://{pets}//nope?rev=v1", PathNotFound, "no file or directory nope in the DVC project"),
        ("dvc://{pets}//data?rev=v9", InvalidArgument, "has no revision 'v9'"),
        ("dvc://{pets}-not//data", Unavailable, "cannot be cloned"),
        ("dvc://{pets}//data?remote=nowhere", InvalidArgument, "nowhere"),
        ("dvc+https://127.0.0.1:9/pets.git//data", Unavailable, "https://127.0.0.1:9/pets.git cannot be cloned"),
    ],
)
def test_what_cannot_be_read_is_told(pfs, pets, url, kind, told):
    with pytest.raises(kind, match=told):
        pfs.put_url("pets@master:/in", url.format(pets=pets))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("dvc://host/pets//data", "names no clone on this machine"),
        ("dvc+https:///pets//data", "names no git repository"),
        ("dvc:///pets//data?rv=1", "parameter 'rv'; known are rev and remote"),
        ("dvc:///pets//a/../b", "may not have . or .."),
        ("dvc:///pets//a#b", "write %23"),
    ],
)
def test_urls_that_mean_nothing_are_told(url, told):
    with pytest.raises(InvalidArgument, match=told):
        parse_url(url)


def test_urls_of_every_form_are_read_and_passwords_not_shown():
    place = parse_url("dvc+https://ada:secret@example.com/org/pets.git//data/my%20images/?rev=v1.0&remote=store")
    assert (place.repository, place.path) == ("https://ada:secret@example.com/org/pets.git", "data/my images")
    assert (place.rev, place.remote) == ("v1.0", "store")
    assert place.shown == "https://example.com/org/pets.git"
    assert "secret" not in str(place)
    over_ssh = parse_url("dvc+ssh://git@example.com/org/pets")
    assert over_ssh.repository == over_ssh.shown == "ssh://git@example.com/org/pets"
    assert parse_url("dvc:///srv/a@b//c").shown == "/srv/a@b"
    with pytest.raises(InvalidArgument) as caught:
        parse_url("dvc+https://ada:secret@example.com/x//y?z=1")
    assert "secret" not in str(caught.value)


@pytest.fixture
def photos(pfs):
    """Small and large files, two of the same content, odd names."""
    with pfs.commit("pets@master") as commit:
        for number in range(30):
            commit.put_file(f"/2024/{number % 3}/{number:02}.txt", f"photo {number % 29}" * 50)
        commit.put_file("/2024/großes Bild.bin", bytes(range(256)) * 40_000)
        commit.put_file("/2024/empty", b"")
        commit.put_file("/model.onnx", b"weights")
    return pfs


def pulled(directory: Path) -> dict[str, bytes]:
    return {f"/{one.relative_to(directory)}": one.read_bytes() for one in directory.rglob("*") if one.is_file()}


def held(pfs, path):
    found = pfs.walk_file(f"pets@master:{path}")
    return {one.path.removeprefix(path): pfs.get_file(f"pets@master:{one.path}") for one in found if not one.is_dir}


def test_dvc_pull_gets_what_was_exported(photos, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    git(project, "init", "-q", "-b", "main")
    dvc(project, "init", "-q")
    dvc(project, "remote", "add", "-q", "-d", "store", str(tmp_path / "remote"))
    told = []
    done = photos.export_dvc("pets@master:/2024", project / "data", progress=lambda *one: told.append(one))
    assert (done.remote, done.file_count, done.sent_files) == ("store", 32, 32)
    assert sum(one[0] for one in told) == 32
    photos.export_dvc("pets@master:/model.onnx", project)
    git(project, "add", "-A")
    git(project, "commit", "-qm", "data")
    assert "/2024" in (project / "data" / ".gitignore").read_text()
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(project), str(clone))
    dvc(clone, "pull", "-q")
    assert pulled(clone / "data" / "2024") == held(photos, "/2024")
    assert (clone / "model.onnx").read_bytes() == b"weights"
    assert json.loads(dvc(clone, "status", "--json")) == {}
    assert git(clone, "status", "--porcelain") == ""

    again = photos.export_dvc("pets@master:/2024", project / "data")
    assert (again.sent_files, again.md5) == (0, done.md5)
    photos.put_file("pets@master:/2024/0/00.txt", b"another")
    newer = photos.export_dvc("pets@master:/2024", project / "data")
    assert newer.sent_files == 2, "the new file and the list of files"
    assert newer.sent_bytes < 10_000
    # DVC itself makes the same of the same files.
    dvc(project, "pull", "-q")
    (project / "data" / "2024.dvc").unlink()
    dvc(project, "add", "-q", "data/2024")
    assert newer.md5 in (project / "data" / "2024.dvc").read_text()


def test_a_directory_outside_of_projects_becomes_one(photos, tmp_path, capsys):
    out = photos.export_dvc("pets@master:/2024/1", tmp_path / "out", remote_url="../remote", name="one")
    assert (out.remote, out.dvc_file) == ("pachy", tmp_path / "out" / "one.dvc")
    assert capsys.readouterr().out == ""
    dvc(tmp_path / "out", "pull", "-q")
    assert pulled(tmp_path / "out" / "one") == held(photos, "/2024/1")
    document = (tmp_path / "out" / "one.dvc").read_text()
    assert photos.inspect_commit("pets@master").id in document
    # The remote is known by its URL now.
    assert (
        photos.export_dvc("pets@master:/model.onnx", tmp_path / "out", remote_url=str(tmp_path / "remote")).remote
        == "pachy"
    )


def test_a_remote_that_is_not_the_default_is_named_in_the_file(photos, tmp_path):
    first = photos.export_dvc("pets@master:/2024", tmp_path / "out", remote_url=str(tmp_path / "one"))
    second = photos.export_dvc("pets@master:/model.onnx", tmp_path / "out", remote_url=str(tmp_path / "two"))
    assert (first.remote, second.remote) == ("pachy", "pachy-2")
    dvc(tmp_path / "out", "pull", "-q")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == b"weights"


def test_a_broken_upload_leaves_no_half_object_and_no_dvc_file(photos, tmp_path, monkeypatch):
    from dvc_objects.fs.local import LocalFileSystem

    real, calls = LocalFileSystem.put_file, []

    def breaks(self, source, target, **options):
        calls.append(target)
        if len(calls) == 5:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            Path(target).write_bytes(b"half")
            raise OSError("disk full")
        return real(self, source, target, **options)

    monkeypatch.setattr(LocalFileSystem, "put_file", breaks)
    with pytest.raises(Unavailable, match="disk full"):
        photos.export_dvc("pets@master:/2024", tmp_path / "out", remote_url=str(tmp_path / "remote"))
    assert not Path(calls[4]).exists()
    assert not (tmp_path / "out" / "2024.dvc").exists()
    photos.export_dvc("pets@master:/2024", tmp_path / "out")
    dvc(tmp_path / "out", "pull", "-q")


def test_exports_that_cannot_be_are_told(photos, tmp_path):
    for arguments, kind, told in (
        ({"path": "pets@master:/2024"}, InvalidArgument, "is in no DVC project; make one"),
        ({"path": "pets@master:/nope", "remote_url": "r"}, PathNotFound, "no file or directory /nope"),
        ({"path": "pets@master:/2024", "remote": "a", "remote_url": "b"}, InvalidArgument, "not both"),
        ({"path": "pets@master:/2024", "remote_url": "r", "name": "a/b"}, InvalidArgument, "cannot be the name"),
    ):
        path = arguments.pop("path")
        with pytest.raises(kind, match=told):
            photos.export_dvc(path, tmp_path / "nowhere", **arguments)
    photos.export_dvc("pets@master:/2024", tmp_path / "out", remote_url=str(tmp_path / "remote"))
    with pytest.raises(InvalidArgument, match="has no remote 'archive'"):
        photos.export_dvc("pets@master:/2024", tmp_path / "out", remote="archive")
    photos.grant("pets", "user:ada", "OWNER")
    root = tmp_path / "pachy.db"
    with Pfs.open((tmp_path / "store").as_uri(), f"sqlite:///{root}", principal="user:bob") as bob:
        with pytest.raises(Denied):
            bob.export_dvc("pets@master:/2024", tmp_path / "out")


def test_the_command_line_goes_both_ways(photos, pets, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PACHY_STORAGE", (tmp_path / "store").as_uri())
    monkeypatch.setenv("PACHY_METADATA", f"sqlite:///{tmp_path / 'pachy.db'}")
    assert main(["put", "file", "pets@dvc:/in", "-f", f"dvc://{pets}//data/images?rev=v1"]) == 0
    assert files(photos, "pets@dvc:/in") == FIRST
    capsys.readouterr()
    command = [
        "export",
        "dvc",
        "pets@dvc:/in",
        str(tmp_path / "out"),
        "--remote-url",
        str(tmp_path / "remote"),
        "--json",
    ]
    assert main(command) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["file_count"], done["remote"]) == (4, "pachy")
    dvc(tmp_path / "out", "pull", "-q")
    assert sorted(pulled(tmp_path / "out" / "in")) == ["/a.png", "/b.png", "/cats/tom.png", "/gone.png"]


@pytest.mark.s3
def test_a_remote_in_s3_is_filled_and_pulled_from(photos, real_s3, tmp_path):
    with Pfs.open(f"{real_s3.url}/pachy", f"sqlite:///{tmp_path / 's3.db'}", s3=real_s3.s3) as pfs:
        pfs.create_repo("pets")
        with pfs.commit("pets@master") as commit:
            for number in range(50):
                commit.put_file(f"/2024/{number}.txt", f"photo {number}")
            commit.put_file("/2024/large.bin", bytes(range(256)) * 40_000)
        done = pfs.export_dvc("pets@master:/2024", tmp_path / "out", remote_url=f"{real_s3.url}/dvc")
        assert done.sent_files == 52
        dvc(tmp_path / "out", "pull", "-q")
        assert pulled(tmp_path / "out" / "2024") == held(pfs, "/2024")
        pfs.put_file("pets@master:/2024/0.txt", b"another")
        assert pfs.export_dvc("pets@master:/2024", tmp_path / "out").sent_files == 2
    config = (tmp_path / "out" / ".dvc" / "config").read_text()
    assert real_s3.s3["endpoint_url"] in config
    assert real_s3.s3["aws_secret_access_key"] not in config
