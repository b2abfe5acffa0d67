"""gs://, abfs:// and sftp:// sources, transferred from emulators by the credentials of a named Airflow connection.

They need gcsfs with gcp-storage-emulator (a Python package), adlfs with azurite (an npm package, whose `azurite-blob`
must be on the PATH), and paramiko, which is client and server in one; without these they are skipped.
"""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from airflow_pachy.cli import main
from airflow_pachy.pfs import Pfs

SMALL = {f"in/{number % 3}/{number:02}": bytes([65 + number]) * 1000 for number in range(20)}
FILES = {**SMALL, "in/with space+ü%41#.txt": b"odd", "in/large": b"0123456789abcde\n" * (10 << 16)}
# Azurite's own account, the same everywhere.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture
def pachy(tmp_path, monkeypatch):
    """The command line and a root for it, with a repo."""
    monkeypatch.setenv("PACHY_STORAGE", f"file://{tmp_path}/store")
    monkeypatch.setenv("PACHY_METADATA", f"sqlite:///{tmp_path}/db")
    with Pfs.open() as pfs:
        pfs.create_repo("images")
        yield pfs


def put(*arguments: str) -> int:
    return main(["put", "file", *arguments])


def check(pfs: Pfs, there: str, connection: str) -> None:
    """A file and a directory, as they are there."""
    assert put("images@master:/one", "-f", f"{there}/in/large", "--conn-id", connection) == 0
    assert pfs.get_file("images@master:/one") == FILES["in/large"]
    assert put("images@master:/all", "-r", "-f", f"{there}/in", "--conn-id", connection) == 0
    found = {file.path: file for file in pfs.walk_file("images@master:/all") if file.path.startswith("/all/")}
    contents = {
        f"in{path[4:]}": pfs.get_file(f"images@master:{path}") for path, file in found.items() if file.type == "file"
    }
    assert contents == FILES
    assert found["/all/large"].modified is not None
    assert found["/all/large"].modified < pfs.inspect_commit("images@master").started


def check_refusal(pfs: Pfs, there: str, connection: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong credentials make no commit, for a file or a directory, and the message says what to look at."""
    for arguments in (["-f", f"{there}/in/large"], ["-r", "-f", f"{there}/in"]):
        assert put("images@other:/x", *arguments, "--conn-id", connection) == 1
        assert "is refused" in (said := capsys.readouterr().err)
        assert "check the credentials" in said
    assert [branch.name for branch in pfs.list_branches("images")] == ["master"]


def program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is neither beside Python nor on the PATH")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def running(command: list[str], port: int):
    """The program until the test is done, from when it answers on its port."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def azurite():
    """An Azure blob service with the files in its container `data`; its address."""
    adlfs = pytest.importorskip("adlfs", reason="adlfs is not installed")
    port = free_port()
    flags = ["--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    for _ in running([program("azurite-blob"), "--blobPort", str(port), *flags], port):
        address = f"http://127.0.0.1:{port}/{ACCOUNT}"
        files = adlfs.AzureBlobFileSystem(
            connection_string=f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={address}", skip_instance_cache=True
        )
        files.mkdir("data")
        for path, content in FILES.items():
            files.pipe_file(f"data/{path}", content)
        yield address


def test_azure(pachy, azurite, monkeypatch, capsys):
    connection = {"conn_type": "wasb", "host": azurite, "login": ACCOUNT, "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_SOURCE", json.dumps(connection))
    check(pachy, f"abfs://data@{ACCOUNT}.dfs.core.windows.net", "azure_source")
    wrong = {**connection, "password": f"AAAA{KEY[4:]}"}
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_WRONG", json.dumps(wrong))
    check_refusal(pachy, "az://data", "azure_wrong", capsys)


class _Google(http.server.BaseHTTPRequestHandler):
    """Gives tokens to whoever signs with the right key, and lets only requests with one through to the emulator."""

    emulator: str
    public_key: bytes
    token = "token-of-the-key"

    def do_POST(self) -> None:
        from google.auth import jwt

        asked = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        try:
            jwt.decode(asked["assertion"][0], certs=self.public_key)
        except ValueError:
            self.answer(400, json.dumps({"error": "invalid_grant"}).encode())
        else:
            self.answer(200, json.dumps({"access_token": self.token, "expires_in": 3600}).encode())

    def do_GET(self) -> None:
        if self.headers["Authorization"] != f"Bearer {self.token}":
            self.answer(401, json.dumps({"error": {"code": 401, "message": "Invalid Credentials"}}).encode())
            return
        headers = {"Range": self.headers["Range"]} if "Range" in self.headers else {}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.emulator + self.path, headers=headers)) as there:
                self.answer(there.status, there.read(), dict(there.headers))
        except urllib.error.HTTPError as error:
            self.answer(error.code, error.read())

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        kept = {name: value for name, value in (headers or {}).items() if name in {"Content-Range", "Content-Type"}}
        for name, value in {"Content-Type": "application/json", **kept, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def google(monkeypatch):
    """A storage service with the files in its bucket `data`, behind a door that wants tokens; address and key."""
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    gcsfs = pytest.importorskip("gcsfs", reason="gcsfs is not installed")
    port = free_port()
    command = [program("gcp-storage-emulator"), "start", "--port", str(port), "-M", "-q", "--default-bucket", "data"]
    for _ in running(command, port):
        address = f"http://localhost:{port}"
        files = gcsfs.GCSFileSystem(token="anon", endpoint_url=address, project="p", skip_instance_cache=True)
        for path, content in FILES.items():
            files.pipe_file(f"data/{path}", content)
        key, public = rsa_key()
        handler = type("Google", (_Google,), {"emulator": address, "public_key": public})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", key
        server.shutdown()
        server.server_close()


def rsa_key() -> tuple[str, bytes]:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public


def test_google(pachy, google, monkeypatch, capsys):
    address, key = google
    account = {
        "type": "service_account",
        "client_email": "reader@p.iam.gserviceaccount.com",
        "private_key": key,
        "token_uri": f"{address}/token",
    }
    extra = {"keyfile_dict": json.dumps(account), "endpoint_url": address}
    connection = {"conn_type": "google_cloud_platform", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_SOURCE", json.dumps(connection))
    check(pachy, "gs://data", "google_source")
    wrong = {**extra, "keyfile_dict": json.dumps({**account, "private_key": rsa_key()[0]})}
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_WRONG", json.dumps({**connection, "extra": wrong}))
    check_refusal(pachy, "gs://data", "google_wrong", capsys)


@pytest.fixture
def sftp(tmp_path):
    """The port of an SFTP server with the files below `/data`, for whoever is `me` with password `pw`."""
    paramiko = pytest.importorskip("paramiko", reason="paramiko is not installed")
    root = tmp_path / "sftp"
    for path, content in FILES.items():
        (root / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "data" / path).write_bytes(content)

    class Login(paramiko.ServerInterface):
        def check_auth_password(self, username, password):
            return paramiko.AUTH_SUCCESSFUL if (username, password) == ("me", "pw") else paramiko.AUTH_FAILED

        def check_channel_request(self, kind, chanid):
            return paramiko.OPEN_SUCCEEDED

        def get_allowed_auths(self, username):
            return "password"

    class Folder(paramiko.SFTPServerInterface):
        def at(self, path):
            return Path(f"{root}{self.canonicalize(path)}")

        def list_folder(self, path):
            return [paramiko.SFTPAttributes.from_stat(one.stat(), one.name) for one in self.at(path).iterdir()]

        def stat(self, path):
            try:
                return paramiko.SFTPAttributes.from_stat(self.at(path).stat())
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)

        lstat = stat

        def open(self, path, flags, attr):
            handle = paramiko.SFTPHandle(flags)
            handle.readfile = self.at(path).open("rb")
            return handle

    key, listener, transports = paramiko.RSAKey.generate(2048), socket.create_server(("127.0.0.1", 0)), []

    def serve():
        while True:
            try:
                transport = paramiko.Transport(listener.accept()[0])
            except OSError:
                return
            transports.append(transport)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Folder)
            threading.Thread(target=transport.start_server, kwargs={"server": Login()}, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()
    for transport in transports:
        transport.close()


def test_sftp(pachy, sftp, monkeypatch, capsys):
    connection = {"conn_type": "sftp", "login": "me", "password": "pw", "port": sftp}
    monkeypatch.setenv("AIRFLOW_CONN_SFTP_SOURCE", json.dumps(connection))
    check(pachy, "sftp://127.0.0.1/data", "sftp_source")
    monkeypatch.setenv("AIRFLOW_CONN_SFTP_WRONG", json.dumps({**connection, "password": "no"}))
    check_refusal(pachy, "sftp://127.0.0.1/data", "sftp_wrong", capsys)
