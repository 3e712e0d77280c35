import sys
from pathlib import Path

import pytest

from bootcpy.errors import BootcpyError, ImageUnavailableError
from bootcpy.model.image.reference import ContainerPolicy, ImageReference
from bootcpy.system.image import skopeo
from bootcpy.system.image.proxy import running_proxy
from tests.refusals import refused
from tests.unit.conftest import FakeTool

# Shakes hands as the image proxy does, and waits for the end.
_PROXY = """\
#!{python}
import json, socket
ours = socket.socket(fileno=0)
ours.recv(4096)
ours.send(json.dumps({{"success": True, "value": "{version}", "pipeid": 0, "error": ""}}).encode())
ours.recv(4096)
"""


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the policy is that may be written."""
    path = tmp_path / "policy.json"
    monkeypatch.setenv("CONTAINERS_POLICY_JSON", str(path))
    return path


def _proxy(directory: Path, version: str) -> None:
    program = directory / "skopeo"
    text = _PROXY.format(python=sys.executable, version=version)
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)


def _start() -> None:
    with running_proxy([]):
        pass


def _open_verified() -> None:
    reference = ImageReference.parse("docker://quay.io/example/os")
    with skopeo.opened(reference, signature=ContainerPolicy()):
        pass


@pytest.mark.parametrize("version", ["0.2.2", "0.3.0", "1.0.0"])
def test_proxy_refuses_protocols_it_does_not_know(tools_directory: Path, version: str) -> None:
    _proxy(tools_directory, version)
    hint = "install skopeo 1.6 or newer"
    with refused(BootcpyError, f"speaks image proxy protocol {version}, which", hint=hint):
        _start()


def test_proxy_says_why_it_does_not_start(fake_tool: FakeTool) -> None:
    fake_tool("skopeo", stderr="unknown command\n", status=1)
    hint = "see what `skopeo experimental-image-proxy --help` says"
    with refused(BootcpyError, "image proxy does not start: unknown command", hint=hint):
        _start()


def test_an_image_cannot_be_verified_by_a_skopeo_that_enforces_no_policy(
    tools_directory: Path, policy: Path
) -> None:
    policy.write_text('{"default": [{"type": "reject"}]}', encoding="utf-8")
    _proxy(tools_directory, "0.2.5")
    hint = "install skopeo 1.13 or newer"
    with refused(ImageUnavailableError, "does not enforce policy.json", hint=hint):
        _open_verified()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            None,
            "there is no policy.json that says which signature",
            "write /etc/containers/policy.json, see containers-policy.json(5)",
        ),
        ("{", "is not a valid policy: ", "write it as containers-policy.json(5) says"),
        (
            '{"default": [{"type": "insecureAcceptAnything"}]}',
            "specifies a default of `insecureAcceptAnything`; refusing usage",
            "make its default `reject` and name the images you trust",
        ),
        (
            (
                '{"default": [{"type": "reject"}], "transports": '
                '{"docker": {"": [{"type": "insecureAcceptAnything"}]}}}'
            ),
            "demands no signature of docker://quay.io/example/os: it has ",
            "change that entry to one that requires a signature, such as `signedBy`",
        ),
    ],
    ids=["none", "malformed", "accepts anything", "accepts this"],
)
def test_a_policy_that_demands_nothing_verifies_nothing(
    policy: Path, text: str | None, message: str, hint: str
) -> None:
    if text is not None:
        policy.write_text(text, encoding="utf-8")
    with refused(ImageUnavailableError, message, hint=hint):
        _open_verified()
