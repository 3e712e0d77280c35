"""Images that are here already, and a policy that was changed since they were downloaded."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.support.booted_host import BootedHost
from tests.system.support.faulty_registry import serving
from tests.system.support.gnupg import NAMES, fingerprint, gpg, make_keys
from tests.system.support.installed_host import digests, installed
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER

_ANYTHING, _REJECT = {"type": "insecureAcceptAnything"}, {"type": "reject"}
_APPLIED = "Staged deployment will now be applied on reboot"
_HINT = "hint: `bootc upgrade` fetches it again under the current policy"
_NAME = "example.org/os"

_Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def host(tmp_path: Path, layout: Path) -> Iterator[BootedHost]:
    """A host that runs version 1 of the image in `layout`; version 2 is there."""
    write_image(layout, [BASE])
    with installed(tmp_path, layout, kargs=["rw"]) as host:
        write_image(layout, [BASE, {"usr/new": "2"}], version="2")
        yield host


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The policy that counts; it accepts anything, until a test writes another."""
    file = tmp_path / "policy.json"
    _write(file, _ANYTHING)
    return file


def _write(file: Path, *default: dict[str, Any], **transports: list[dict[str, Any]]) -> None:
    scopes = {name: {"": requirements} for name, requirements in transports.items()}
    document = {"default": list(default), "transports": scopes}
    file.write_text(json.dumps(document), encoding="utf-8")


@pytest.fixture
def run(host: BootedHost, policy: Path, tmp_path: Path) -> _Run:
    """Run bootc on the host under the policy; the registry without TLS is known."""
    environment = {"CONTAINERS_POLICY_JSON": str(policy), "HOME": str(tmp_path / "home")}
    return lambda *words: host.bootc(*words, environment=environment)


def _answer(run: _Run, *words: str) -> str:
    finished = run(*words)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()[0]


def _refusal(run: _Run, *words: str) -> str:
    finished = run(*words)
    assert finished.returncode == 1, finished.stdout
    *_, error, hint = finished.stderr.splitlines()  # a note that the lock is taken may precede
    assert hint == _HINT
    return error.removeprefix("error: ")


def _held(host: BootedHost) -> bool:
    staged = host.status()["status"]["staged"]
    return staged is not None and staged["downloadOnly"]


def test_a_policy_that_is_the_same_lets_a_download_pass(host: BootedHost, run: _Run) -> None:
    _answer(run, "upgrade", "--download-only")
    assert _answer(run, "upgrade", "--from-downloaded") == _APPLIED
    host.reboot()
    assert host.status()["status"]["booted"]["image"]["version"] == "2"


@pytest.mark.parametrize("rebooted", [False, True], ids=["staged", "after a reboot"])
def test_a_policy_that_demands_more_since_the_download_counts(
    host: BootedHost, layout: Path, policy: Path, run: _Run, *, rebooted: bool
) -> None:
    _answer(run, "upgrade", "--download-only")
    if rebooted:
        host.reboot()
    before = digests(host)
    _write(policy, _ANYTHING, oci=[_ANYTHING, _REJECT])
    message = _refusal(run, "upgrade", "--from-downloaded")
    assert message == (
        f"oci:{layout} was accepted by insecureAcceptAnything by default in {policy} when it was "
        f"downloaded; the policy now requires insecureAcceptAnything, reject for oci in {policy}"
    )
    assert digests(host) == before
    assert _held(host) is not rebooted
    # What the hint says is no way around the policy.
    finished = run("upgrade")
    assert finished.returncode == 1
    assert f"is rejected by {policy}, which demands " in finished.stderr
    assert digests(host) == before
    _write(policy, _REJECT, oci=[_ANYTHING])
    _answer(run, "upgrade", "--from-downloaded")
    host.reboot()
    assert host.status()["status"]["booted"]["image"]["version"] == "2"


def test_a_switch_does_not_release_what_the_policy_does_not_accept_any_more(
    host: BootedHost, layout: Path, policy: Path, run: _Run
) -> None:
    _answer(run, "upgrade", "--download-only")
    _write(policy, _REJECT)
    words = ("switch", "--transport", "oci", str(layout))
    assert f"the policy now requires reject by default in {policy}" in _refusal(run, *words)
    assert _held(host)


def test_a_pinned_image_is_asked_for_again_where_the_policy_demands_more(
    host: BootedHost, policy: Path, run: _Run, tmp_path: Path
) -> None:
    digest = write_image(tmp_path / "served", [BASE, {"usr/new": "x"}], version="2")
    with serving(tmp_path / "served") as registry:
        file = tmp_path / "home/.config/containers/registries.conf"
        file.parent.mkdir(parents=True)
        file.write_text(registry.configuration, encoding="utf-8")
        _answer(run, "switch", f"{registry.name.rpartition(':')[0]}@{digest}")
        _answer(run, "upgrade", "--download-only")
        assert _held(host)
        _write(policy, _REJECT)
        finished = run("upgrade")
        assert finished.returncode == 1
        assert f"is rejected by {policy}, which demands reject by default" in finished.stderr
        assert _held(host)
        _write(policy, _ANYTHING)
    # Without the registry: nothing has to be asked.
    assert _answer(run, "upgrade") == _APPLIED


def test_a_download_that_another_program_made_is_not_judged(
    host: BootedHost, policy: Path, run: _Run
) -> None:
    _answer(run, "upgrade", "--download-only")
    for note in (host.root / "ostree/repo/objects").glob("??/*.commitmeta"):
        note.unlink()
    _write(policy, _ANYTHING, oci=[_REJECT])
    assert "was not checked by a policy when it was downloaded" in _refusal(
        run, "upgrade", "--from-downloaded"
    )
    _write(policy, _ANYTHING)
    assert _answer(run, "upgrade", "--from-downloaded") == _APPLIED


# -------------------------------------------------------------------------- signed images


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GnuPG home with the keys of signer and stranger, each exported to NAME.gpg."""
    home = tmp_path_factory.mktemp("gnupg")
    make_keys(home, "rsa2048")
    for name in NAMES:
        gpg(home, "--output", str(home / f"{name}.gpg"), "--export", name)
    return home


def _signed(*keyrings: Path) -> dict[str, Any]:
    identity = {"type": "exactRepository", "dockerRepository": _NAME}
    files = [str(each) for each in keyrings]
    return {
        "type": "signedBy",
        "keyType": "GPGKeys",
        "keyPaths": files,
        "signedIdentity": identity,
    }


def _sign(layout: Path, directory: Path, keys: Path) -> None:
    subprocess.run(
        [
            "skopeo",
            "copy",
            "--quiet",
            f"--sign-by={fingerprint(keys, 'signer')}",
            f"--sign-identity={_NAME}:2",
            f"oci:{layout}",
            f"dir:{directory}",
        ],
        env={**os.environ, "GNUPGHOME": str(keys)},
        check=True,
    )


def test_a_signature_that_satisfied_the_policy_satisfies_it_later(
    host: BootedHost, layout: Path, policy: Path, run: _Run, keys: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "signed"
    _sign(layout, directory, keys)
    keyring, stranger = tmp_path / "os.gpg", keys / "stranger.gpg"
    keyring.write_bytes((keys / "signer.gpg").read_bytes())
    _write(policy, _REJECT, dir=[_signed(keyring)])
    _answer(run, "switch", "--transport", "dir", "--enforce-container-sigpolicy", str(directory))
    _answer(run, "upgrade", "--download-only")
    assert _held(host)
    accepted = f"signedBy ({keyring}) for dir in {policy}"
    text = run("status", "--format", "humanreadable", "--verbose").stdout
    assert f"Accepted: {accepted}\n" in text
    assert text.count("Accepted: ") == 1
    # Another key in the file of that name, then a policy with one more key.
    keyring.write_bytes(stranger.read_bytes())
    assert f"was accepted by {accepted} when" in _refusal(run, "upgrade", "--from-downloaded")
    keyring.write_bytes((keys / "signer.gpg").read_bytes())
    _write(policy, _REJECT, dir=[_signed(stranger, keyring)])
    assert _answer(run, "upgrade", "--from-downloaded") == _APPLIED


# ------------------------------------------------------------ --enforce-container-sigpolicy


@pytest.mark.parametrize(
    ("default", "transports", "said"),
    [
        ([_ANYTHING], {}, "specifies a default of `insecureAcceptAnything`; refusing usage"),
        (
            [_ANYTHING, _ANYTHING],
            {},
            "specifies a default of `insecureAcceptAnything`; refusing usage",
        ),
        (
            [_REJECT],
            {"oci": [_ANYTHING]},
            "it has insecureAcceptAnything for oci",
        ),
        (
            [_REJECT],
            {"oci": [_ANYTHING, _ANYTHING]},
            "it has insecureAcceptAnything, insecureAcceptAnything for oci",
        ),
    ],
    ids=["default", "twice by default", "transport", "twice for the transport"],
)
def test_a_signature_that_nobody_checks_is_not_demanded(
    host: BootedHost,
    layout: Path,
    policy: Path,
    run: _Run,
    default: list[dict[str, Any]],
    transports: dict[str, list[dict[str, Any]]],
    said: str,
) -> None:
    _write(policy, *default, **transports)
    words = ("switch", "--transport", "oci", "--enforce-container-sigpolicy", str(layout))
    finished = run(*words)
    assert finished.returncode == 1
    *_, error, hint = finished.stderr.splitlines()
    assert error.startswith(f"error: {policy} ")
    assert error.endswith(said)
    assert hint.startswith("hint: ")
    assert digests(host)["staged"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not a valid policy: it is not JSON"),
        ('{"default": []}', "is not a valid policy: there is no list of requirements by default"),
        ("[" * 100_000, "is not a valid policy: it is nested deeper than 64 levels"),
        (" " * (2 << 20), "is not a valid policy: it is longer than 1,048,576 characters"),
    ],
    ids=["no JSON", "no default", "nested", "too long"],
)
def test_a_policy_that_is_none_is_refused(
    host: BootedHost, layout: Path, policy: Path, run: _Run, text: str, said: str
) -> None:
    policy.write_text(text, encoding="utf-8")
    words = ("switch", "--transport", "oci", "--enforce-container-sigpolicy", str(layout))
    finished = run(*words)
    assert finished.returncode == 1
    assert f"error: {policy} {said}" in finished.stderr
    assert digests(host)["staged"] is None
