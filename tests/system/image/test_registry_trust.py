"""Registries that want credentials or have their own certificate, and policies for images."""

import json
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootcpy.paths import ROOT_AUTH_FILES
from tests.system.support.booted_host import BootedHost
from tests.system.support.faulty_registry import FaultyRegistry, serving
from tests.system.support.installed_host import digests
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[FaultyRegistry]:
    """A registry without TLS that has another image; root's own configuration says so."""
    write_image(tmp_path / "served", [BASE, {"usr/new": "x"}], version="2")
    with serving(tmp_path / "served") as registry:
        file = tmp_path / "home/.config/containers/registries.conf"
        file.parent.mkdir(parents=True)
        file.write_text(registry.configuration, encoding="utf-8")
        yield registry


def _switch(
    host: BootedHost, registry: FaultyRegistry, *words: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    home = host.root.with_name("home")
    environment = {"HOME": str(home), **environment}
    return host.bootc("switch", "--quiet", registry.name, *words, environment=environment)


def _refused(host: BootedHost, finished: "subprocess.CompletedProcess[str]") -> str:
    """Check that nothing came of a command, and return what it said."""
    assert finished.returncode == 1
    assert digests(host)["staged"] is None
    error, hint = finished.stderr.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    return finished.stderr


def _write_credentials(file: Path, registry: FaultyRegistry, credentials: str) -> None:
    server = registry.name.partition("/")[0]
    encoded = b64encode(credentials.encode()).decode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"auths": {server: {"auth": encoded}}}), encoding="utf-8")


@pytest.fixture
def auth_files(host: BootedHost) -> Iterator[list[Path]]:
    """The places of credentials, in the order of their rank; none is there."""
    first, *others = ROOT_AUTH_FILES
    yield [host.run_directory / first.relative_to("/run"), *others]
    for each in others:
        each.unlink(missing_ok=True)


def test_credentials_come_from_the_first_file_there_is(
    host: BootedHost, registry: FaultyRegistry, auth_files: list[Path]
) -> None:
    registry.credentials = "user:right"
    # Where podman keeps its own: not asked, as with bootc.
    _write_credentials(host.run_directory / "containers/0/auth.json", registry, "user:right")
    message = _refused(host, _switch(host, registry))
    server = registry.name.partition("/")[0]
    assert f"registry {server} refuses access to docker://{registry.name}" in message
    assert f"none of {', '.join(map(str, ROOT_AUTH_FILES))} exists" in message
    for path, name in reversed(list(zip(auth_files, ROOT_AUTH_FILES, strict=True))):
        _write_credentials(path, registry, "user:wrong")
        message = _refused(host, _switch(host, registry))
        assert f"(credentials from {name})" in message
        assert message.endswith(f"into {name}\n")
        _write_credentials(path, registry, "user:right")
        finished = _switch(host, registry)
        assert finished.returncode == 0, finished.stderr
        # As it was, for the next round.
        (host.run_directory / "ostree/staged-deployment").unlink()


def test_credentials_that_cannot_be_read(
    host: BootedHost, registry: FaultyRegistry, auth_files: list[Path]
) -> None:
    auth_files[0].parent.mkdir(parents=True, exist_ok=True)
    auth_files[0].write_text("{", encoding="utf-8")
    message = _refused(host, _switch(host, registry))
    assert "cannot be read" in message
    assert "hint: correct /run/ostree/auth.json" in message


def test_a_certificate_of_its_own(host: BootedHost, tmp_path: Path) -> None:
    write_image(tmp_path / "served", [BASE, {"usr/new": "x"}], version="2")
    certificate = tmp_path / "certificate.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test"]
    request += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "-", "-out", "-"]
    both = subprocess.run(request, check=True, capture_output=True, text=True).stdout
    certificate.write_text(both, encoding="ascii")
    with serving(tmp_path / "served", certificate=certificate) as registry:
        message = _refused(host, _switch(host, registry))
        assert "is not trusted: " in message
        assert "hint: add its certificate below /etc/containers/certs.d" in message
        place = Path("/etc/containers/certs.d") / registry.name.partition("/")[0]
        place.mkdir(parents=True)
        try:
            public = both[both.index("-----BEGIN CERTIFICATE") :]
            (place / "ca.crt").write_text(public, encoding="ascii")
            finished = _switch(host, registry)
        finally:
            (place / "ca.crt").unlink()
            place.rmdir()
        assert finished.returncode == 0, finished.stderr


_ANYTHING, _REJECT = {"type": "insecureAcceptAnything"}, {"type": "reject"}
_SIGNED = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/etc/pki/os.gpg"}


@pytest.mark.parametrize("words", [(), ("--enforce-container-sigpolicy",)], ids=["", "enforce"])
@pytest.mark.parametrize(
    ("policy", "demanded"),
    [
        pytest.param({"default": [_REJECT]}, "reject by default", id="reject"),
        pytest.param(
            {"default": [_REJECT], "transports": {"docker": {"": [_SIGNED]}}},
            "signedBy (/etc/pki/os.gpg) for docker",
            id="signed",
        ),
    ],
)
def test_a_policy_that_is_not_met_is_named(
    host: BootedHost,
    registry: FaultyRegistry,
    tmp_path: Path,
    policy: dict[str, Any],
    demanded: str,
    words: tuple[str, ...],
) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy), encoding="utf-8")
    message = _refused(host, _switch(host, registry, *words, CONTAINERS_POLICY_JSON=str(file)))
    assert f"is rejected by {file}, which demands {demanded}: " in message


def test_a_signature_is_not_demanded_of_a_policy_that_demands_none(
    host: BootedHost, registry: FaultyRegistry, tmp_path: Path
) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"default": [_ANYTHING]}), encoding="utf-8")
    wanted = "--enforce-container-sigpolicy"
    message = _refused(host, _switch(host, registry, wanted, CONTAINERS_POLICY_JSON=str(file)))
    assert f"{file} specifies a default of `insecureAcceptAnything`" in message
    file.unlink()
    message = _refused(host, _switch(host, registry, wanted, CONTAINERS_POLICY_JSON=str(file)))
    assert "there is no policy.json that says which signature" in message
