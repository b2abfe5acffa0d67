"""An S3 server in the process (moto), and a proxy in front of it that misbehaves on demand."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import struct
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from support.moto_s3 import moto_s3

_SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
_EXPIRED = (
    b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
)


class Proxy:
    """Forwards to a server, except for the next requests of a method that `faults` names.

    Kinds: slow down (503), error (500), expired (400), reset, hang, truncated, stalled (half of it, then nothing), lost
    answer (done, then reset). `requests` has (method, path, headers) of every request that came, `clients` the
    addresses that they came from: one for each connection.
    """

    def __init__(self, target: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        self.faults: dict[str, deque[str]] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.clients: set[tuple[str, int]] = set()
        self.released = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.requests.append((self.command, self.path, dict(self.headers.items())))
                proxy.clients.add(self.client_address)
                waiting = proxy.faults.get(self.command)
                proxy.answer(self, target, body, waiting.popleft() if waiting else "")

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_one  # noqa: N815 - the server's names

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_port}"

    def fail(self, method: str, *kinds: str) -> None:
        self.faults[method] = deque(kinds)

    def count(self, method: str) -> int:
        return sum(1 for one in self.requests if one[0] == method)

    def answer(self, handler: BaseHTTPRequestHandler, target: tuple[str, int], body: bytes, fault: str) -> None:
        if fault == "hang":
            self.released.wait(30)
            handler.close_connection = True
            return
        if fault in {"slow down", "error", "expired"}:
            status = {"slow down": 503, "error": 500, "expired": 400}[fault]
            self._send(handler, status, {}, {503: _SLOW_DOWN, 500: b"", 400: _EXPIRED}[status])
            return
        if fault == "reset":
            self._reset(handler)
            return
        upstream = http.client.HTTPConnection(*target)
        headers = {name: value for name, value in handler.headers.items() if name.lower() != "host"}
        upstream.request(handler.command, handler.path, body, {**headers, "Host": f"{target[0]}:{target[1]}"})
        got = upstream.getresponse()
        data = got.read()
        upstream.close()
        if fault == "lost answer":
            self._reset(handler)
            return
        cut = fault in {"truncated", "stalled"}
        handler.close_connection |= cut
        self._send(handler, got.status, dict(got.getheaders()), data, cut=cut)
        if fault == "stalled":
            self.released.wait(30)

    def _send(self, handler, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False) -> None:
        handler.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                handler.send_header(name, value)
        length = headers.get("Content-Length", str(len(data))) if handler.command == "HEAD" else str(len(data))
        handler.send_header("Content-Length", length)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(data[: len(data) // 2] if cut else data)

    @staticmethod
    def _reset(handler) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True
        handler.rfile = handler.wfile = SimpleNamespace(flush=lambda: None, close=lambda: None, closed=True)

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="session")
def moto_both():
    with moto_s3() as both:
        yield both


@pytest.fixture(scope="session")
def moto_server(moto_both):
    return moto_both[0]


@pytest.fixture(scope="session")
def moto_settings(moto_both):
    return moto_both[1]


@pytest.fixture
def proxy(moto_server, moto_settings, monkeypatch):
    # Retries are made, the pauses between them are not.
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None, time=time.time))
    proxy = Proxy(moto_server)
    yield proxy
    proxy.close()


@pytest.fixture
def tls_proxy(moto_server, moto_settings, tmp_path):
    """The same over TLS, with a certificate of an authority that only `tls_proxy.bundle` knows."""
    certificate, key = _self_signed()
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle, tmp_path / "key.pem")
    proxy = Proxy(moto_server, context)
    proxy.bundle = str(bundle)
    yield proxy
    proxy.close()


def _self_signed() -> tuple[bytes, bytes]:
    """A certificate for 127.0.0.1 and its key, as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pachy test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), secret
