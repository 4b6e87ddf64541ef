"""A configuration of the `incus` client that knows the lab's machine as the remote `vm-lab`."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import os
import select
import socket
import ssl
import threading
from pathlib import Path

from dev.console import Failure, run, say
from dev.vm_lab_machine import folder, port

REMOTE = "vm-lab"


def configuration() -> Path:
    """Return the folder that INCUS_CONF names for it."""
    return folder() / "client"


def settings() -> dict[str, str]:
    """Return the environment with which `incus` and pulumi_pika use the lab's machine."""
    return {"INCUS_CONF": str(configuration()), "INCUS_REMOTE": REMOTE}


def make_certificate() -> None:
    """Create the client's certificate, unless there is one.

    This is done before the machine boots. A certificate is valid from the second in which it is
    created, and the machine's clock may be some seconds behind.
    """
    place = configuration()
    certificate, key = place / "client.crt", place / "client.key"
    if certificate.exists():
        return
    (place / "servercerts").mkdir(mode=0o700, parents=True, exist_ok=True)
    place.chmod(0o700)
    run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:secp384r1", "-sha384", "-nodes", "-days", "3650"),
            *("-subj", "/CN=vm-lab", "-keyout", str(key), "-out", str(certificate)),
        ]
    )
    key.chmod(0o600)


def enrol(token: str) -> None:
    """Have the machine's Incus trust the client's certificate, and write the configuration.

    Args:
        token: a trust token, which can be used once.

    Raises:
        Failure: Incus does not trust the certificate, or another server answers.
    """
    make_certificate()
    place = configuration()
    certificate, key = place / "client.crt", place / "client.key"
    fingerprint = json.loads(base64.b64decode(token))["fingerprint"]
    context = ssl.create_default_context()
    # It is checked below, against the fingerprint in the token.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(certificate, key)
    connection = http.client.HTTPSConnection("127.0.0.1", port(), timeout=120, context=context)
    try:
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        server = connection.sock.getpeercert(binary_form=True) or b""
        if hashlib.sha256(server).hexdigest() != fingerprint:
            raise Failure(f"another server than the lab's answers at 127.0.0.1:{port()}")
        body = json.dumps({"type": "client", "trust_token": token})
        connection.request("POST", "/1.0/certificates", body)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        if response.status not in (200, 201):
            raise Failure(f"its Incus does not trust the new client: {text.strip()}")
    finally:
        connection.close()
    pem = ssl.DER_cert_to_PEM_cert(server)
    (place / "servercerts" / f"{REMOTE}.crt").write_text(pem)
    # Written last: with it, the configuration is complete.
    (place / "config.yml").write_text(
        f"default-remote: {REMOTE}\n"
        "remotes:\n"
        f"  {REMOTE}:\n"
        f"    addr: https://127.0.0.1:{port()}\n"
        "    auth_type: tls\n"
        "    protocol: incus\n"
        "    public: false\n"
    )


def serve_socket(path: Path) -> None:
    """Serve the machine's Incus on a Unix socket until interrupted.

    Clients that only know sockets can use the machine in this way. Whoever may open the socket has
    all rights there.

    Args:
        path: the socket, which is created for this user only.
    """
    place = configuration()
    context = ssl.create_default_context(cafile=str(place / "servercerts" / f"{REMOTE}.crt"))
    # The certificate is Incus's own, and names its host, not the loopback address.
    context.check_hostname = False
    context.load_cert_chain(place / "client.crt", place / "client.key")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        before = os.umask(0o177)
        try:
            listening.bind(str(path))
        finally:
            os.umask(before)
        try:
            listening.listen(64)
            say(f"Incus of the lab answers at {path}; Ctrl-C ends this.")
            while True:
                near, _ = listening.accept()
                threading.Thread(target=_relay, args=(near, context), daemon=True).start()
        finally:
            path.unlink(missing_ok=True)


def _relay(near: socket.socket, context: ssl.SSLContext) -> None:
    with near, contextlib.suppress(OSError):
        plain = socket.create_connection(("127.0.0.1", port()), timeout=60)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as far:
            far.settimeout(None)
            # One thread for both directions, because a TLS connection is not safe for two.
            while True:
                # Bytes that are decrypted already do not make the socket readable.
                ready = [far] if far.pending() else select.select([near, far], [], [])[0]
                for one, other in ((near, far), (far, near)):
                    if one in ready:
                        data = one.recv(65536)
                        if not data:
                            return
                        other.sendall(data)


def is_complete() -> bool:
    """Return whether the configuration is there."""
    return (configuration() / "config.yml").exists()
