"""SSM and Cognito's key endpoint over real TLS, a chosen round trip away.

Loopback has no distance, so the server waits where a distant one would make the client wait: one round trip for the TCP
handshake, one for TLS 1.3's, one for each request. The first segment of a path names the policy to hand out.
"""

import datetime as dt
import json
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from http.client import parse_headers
from pathlib import Path
from typing import Any

import certifi
from cognito_edge.fetch import AMAZON_ROOTS_FILE
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .material import CLIENT_ID, POOL_ID, PREFIX


class Authority:
    """A certificate authority of this run's own, and a certificate for ``localhost``.

    Attributes:
        own: File with the authority's certificate alone (Node adds it to the roots that it has compiled in).
        bundle: File with the public roots as well: reading some 140 of them is part of every usual cold start in Python.
        amazon: File with the roots that the gateway reads in their place when it asks AWS (``edge/cognito_edge/amazon_roots.pem``).
    """

    def __init__(self, folder: Path) -> None:
        self.own, self.bundle, self.amazon = (
            folder / f"{name}.pem" for name in ("ca", "roots-and-ca", "amazon-and-ca")
        )
        ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        ca = _certificate("Benchmark CA", ca_key, "Benchmark CA", ca_key, is_ca=True)
        leaf = _certificate("localhost", key, "Benchmark CA", ca_key, is_ca=False)
        ca_pem = ca.public_bytes(serialization.Encoding.PEM)
        self.own.write_bytes(ca_pem)
        self.bundle.write_bytes(Path(certifi.where()).read_bytes() + ca_pem)
        self.amazon.write_bytes(Path(AMAZON_ROOTS_FILE).read_bytes() + ca_pem)
        private = folder / "localhost.pem"
        private.touch(mode=0o600)
        unencrypted = serialization.NoEncryption()
        private.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
            + leaf.public_bytes(serialization.Encoding.PEM)
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(private)


class Endpoints:
    """The server: a port and threads until the run ends."""

    def __init__(
        self, authority: Authority, *, round_trip_s: float, jwks: object, policies: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._authority = authority
        self._round_trip_s = round_trip_s
        self._jwks = json.dumps(jwks).encode()
        self._values = {
            name: {
                f"{PREFIX}/user-pool-id": POOL_ID,
                f"{PREFIX}/client-id": CLIENT_ID,
                f"{PREFIX}/policy": json.dumps(policy),
            }
            for name, policy in policies.items()
        }
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, policy: str) -> str:
        """Return the endpoint that hands out *policy*."""
        return f"https://localhost:{self._socket.getsockname()[1]}/{policy}"

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            time.sleep(2 * self._round_trip_s)
            with self._authority.context.wrap_socket(connection, server_side=True) as tls:
                stream = tls.makefile("rb")
                while line := stream.readline():
                    method, path, _ = line.decode("latin-1").split(" ")
                    headers = parse_headers(stream)
                    sent = stream.read(int(headers.get("content-length") or 0))
                    body = self._parameters(path.split("/")[1], sent) if method == "POST" else self._jwks
                    time.sleep(self._round_trip_s)
                    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                    tls.sendall(head.encode() + body)
        except OSError:
            pass  # the contestant has gone

    def _parameters(self, policy: str, sent: bytes) -> bytes:
        values = self._values[policy]
        found = [{"Name": name, "Value": values[name]} for name in json.loads(sent)["Names"]]
        return json.dumps({"Parameters": found, "InvalidParameters": []}).encode()


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey, *, is_ca: bool
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(signer.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .add_extension(_usage(is_ca=is_ca), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
