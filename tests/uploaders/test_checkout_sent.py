"""Whoever wrote a checkout does not read an upload: the real uploaders behind a proxy that ends their encryption."""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.server
import os
import shlex
import ssl
import sys
import threading
from typing import TYPE_CHECKING

import keyring
import pytest
from checkout_choices import CHOICES, TEST, URL
from distributions import make_wheel
from sandbox import new_master
from wire import run_offline

from keyring_pypitoken.uploaders.uploader import Process, find_uploader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from environments import Environments

pytestmark = [
    pytest.mark.uploaders,
    pytest.mark.skipif(os.name != "posix", reason="a shell script stands for the `keyring` command"),
]
WORTHLESS = "a-password-of-no-worth"


class Proxy(http.server.ThreadingHTTPServer):
    """A proxy that ends TLS with a certificate of its own, and notes what it can read."""

    daemon_threads = True

    def __init__(self, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.connections: list[str] = []
        self.passwords: list[str] = []
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate)

    def handle_error(self, *_: object) -> None:
        """Ignore a connection that its client drops."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Takes every upload, and has no other page."""

    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_CONNECT(self) -> None:
        """Speak TLS with the client, as if this were the server."""
        self.server.connections.append(self.path)
        self.send_response(200)
        self.end_headers()
        with (
            contextlib.suppress(OSError),  # it rejects the certificate
            self.server.tls.wrap_socket(self.connection, server_side=True) as inside,
        ):
            Handler(inside, self.client_address, self.server)
        self.close_connection = True

    def respond(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        credential = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        self.server.passwords.append(credential.partition(":")[2])
        self.send_response(200 if self.command == "POST" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = respond  # noqa: N815 - the base class looks for these names

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def write_certificates(directory: Path) -> Path:
    """Write a certificate for PyPI's hosts, and that of the authority which signed it (`ca.pem`)."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("authority", "upload.pypi.org")
    ]
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    hosts = x509.SubjectAlternativeName([x509.DNSName(f"{name}.pypi.org") for name in ("upload", "test")])
    texts = []
    for number, extension in enumerate((x509.BasicConstraints(ca=True, path_length=None), hosts)):
        builder = x509.CertificateBuilder(names[0], names[number], keys[number].public_key(), number + 1)
        builder = builder.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=9000))
        certificate = builder.add_extension(extension, critical=number == 0).sign(keys[0], hashes.SHA256())
        texts.append(certificate.public_bytes(serialization.Encoding.PEM))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (directory / "ca.pem").write_bytes(texts[0])
    (directory / "server.pem").write_bytes(texts[1] + keys[1].private_bytes(*pem))
    return directory / "server.pem"


@pytest.fixture
def proxies(home: Path) -> Iterator[tuple[Proxy, Proxy]]:
    """Serve the user's proxy, and the checkout's."""
    certificate = write_certificates(home)
    with Proxy(certificate) as mine, Proxy(certificate) as theirs:
        for proxy in (mine, theirs):
            threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
        yield mine, theirs
        for proxy in (mine, theirs):
            proxy.shutdown()


@pytest.fixture
def project(home: Path, work: Path) -> Path:
    make_wheel(work / "dist", "demo", "1.0")
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\nversion = "1.0"\n')
    (work / ".git").mkdir()
    (home / "config/pypoetry").mkdir(parents=True)
    (home / "config/pypoetry/config.toml").write_text(f'[repositories.t]\nurl = "{TEST}"\n')
    return work


def run(
    case: str, proxies: tuple[Proxy, Proxy], project: Path, scripts: Path, environ: Mapping[str, str], *before: str
) -> tuple[list[str], bool, str]:
    """Run a command line in a checkout; return the passwords that were read, whether its proxy was used, the screen."""
    line, file, text = case.split(" | ")
    mine, theirs = proxies
    original = (project / file).read_text() if (project / file).exists() else None
    (project / file).write_text(text.replace("{proxy}", theirs.url))
    (project / "ca.pem").write_bytes((project.parent / "ca.pem").read_bytes())
    for proxy in proxies:
        proxy.passwords.clear()
        proxy.connections.clear()
    words = [*before, *shlex.split(line), *(["--no-build"] if line.startswith("pdm") else [])]
    path = os.pathsep.join([environ["PATH"], str(scripts), "/usr/bin", "/bin"])
    variables = {"UV_HTTP_RETRIES": "0", "UV_KEYRING_PROVIDER": "subprocess", "UV_PUBLISH_USERNAME": "__token__"}
    proxied = {**dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), mine.url), "NO_PROXY": ""}
    # A user's own bundle wins over what poetry's settings say.
    offline = ["env", "-u", "REQUESTS_CA_BUNDLE", "-u", "CURL_CA_BUNDLE"]
    offline += [*(f"{name}={value}" for name, value in proxied.items()), *words]
    done = run_offline(offline, project, {**os.environ, **variables, **environ, "PATH": path})
    (project / file).unlink()
    if original is not None:
        (project / file).write_text(original)
    return (
        [one for proxy in proxies for one in proxy.passwords if one],
        bool(theirs.connections),
        done.stdout + done.stderr,
    )


@pytest.mark.parametrize("name", ["uv", "poetry", "pdm"])
def test_the_settings_of_a_checkout_that_count_are_those_by_which_it_reads_an_upload(
    name: str, environments: Environments, proxies: tuple[Proxy, Proxy], project: Path, home: Path
) -> None:
    # It answers as this package would: for the upload URL, and the bare host.
    (home / "bin").mkdir()
    (home / "bin/keyring").write_text(
        f'#!/bin/sh\ncase "$2" in {URL}|{TEST}|http://a.example/|upload.pypi.org) echo {WORTHLESS};; *) exit 1;; esac\n'
    )
    (home / "bin/keyring").chmod(0o700)
    environ = {
        "PATH": str(home / "bin"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        **dict.fromkeys(("POETRY_PYPI_TOKEN_T", "POETRY_PYPI_TOKEN_PYPI"), WORTHLESS),
        "PDM_PUBLISH_USERNAME": "__token__",
        "PDM_PUBLISH_PASSWORD": WORTHLESS,
    }
    different = []
    for case, expected in CHOICES.items():
        if case.split()[0] == name:
            passwords, is_proxied, screen = run(case, proxies, project, environments.scripts(name), environ)
            assert set(passwords) <= {WORTHLESS}
            if (bool(passwords) or is_proxied) != bool(expected):
                different.append(f"{case}: {expected}: {passwords}, {is_proxied}\n{screen}")
    assert not different, "\n".join(different)


_INSECURE = 'allow-insecure-host = ["upload.pypi.org"]'
_ELSEWHERE = (
    f'[[index]]\nname = "i"\nurl = "{URL.replace("upload", "__token__@upload")}"\npublish-url = "http://a.example/"'
)
ASKING = (
    'uv publish | uv.toml | https-proxy = "{proxy}"\n' + _INSECURE,
    'uv publish | uv.toml | check-url = "http://__token__@upload.pypi.org/simple/"',
    # An address that is not known, and PyPI's only to check: it is no upload there.
    f"uv publish --index i | uv.toml | {_INSECURE}\n{_ELSEWHERE}",
    "poetry publish -r t | poetry.toml | certificates.t.cert = false",
    'poetry publish -r x | poetry.toml | repositories.x.url = "http://a.example/"',
    "pdm publish | pdm.toml | repository.pypi.verify_ssl = false",
    'pdm publish | pdm.toml | repository.pypi.url = "http://a.example/"',
)


def test_no_token_is_made_for_an_upload_that_a_checkout_can_read(
    environments: Environments, proxies: tuple[Proxy, Proxy], project: Path, home: Path
) -> None:
    for url, domain in ((URL, "pypi.org"), (TEST, "test.pypi.org")):
        keyring.set_password(url, "__token__", new_master(domain))
    through = (sys.executable, "-m", "keyring_pypitoken", "exec", "--")
    for case in ASKING:
        scripts = environments.scripts(case.split()[0])
        for before in ((), through):
            passwords, _, screen = run(case, proxies, project, scripts, {"PATH": str(scripts)}, *before)
            assert not [one for one in passwords if one.startswith("pypi-")], (case, before, screen)
            if "a.example" not in case:
                assert "a file of this project, chooses who can read" in screen or case.startswith("pdm"), screen
    # The user's own certificates count, and so do a checkout's that it takes from the system, and a known address.
    trusted = {"SSL_CERT_FILE": str(home / "ca.pem"), "PATH": str(environments.scripts("uv"))}
    case = f'uv publish | uv.toml | system-certs = true\npublish-url = "{TEST}"'
    passwords, _, screen = run(case, proxies, project, environments.scripts("uv"), trusted)
    assert [one for one in passwords if one.startswith("pypi-")], screen
    process = Process("uv", ("publish",), project, os.environ)
    uploader = find_uploader("uv")
    assert uploader is not None
    assert process.target.checkout == ()
