"""`bootc status` on hosts that seem booted: real libostree, real deployments."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml

from bootcpy.model.host.document_schema import schema
from tests.system.support.booted_host import BootedHost
from tests.system.support.marks import IN_CONTAINER

pytestmark = IN_CONTAINER

_ORIGIN = "[origin]\ncontainer-image-reference=ostree-unverified-registry:quay.io/example/os:1\n"


def _metadata(digit: str) -> dict[str, str]:
    config = {
        "architecture": "amd64",
        "config": {"Labels": {"version": f"13.{digit}"}},
        "created": "2026-10-14T19:22:15.420000001Z",
    }
    return {
        "ostree.manifest-digest": "sha256:" + digit * 64,
        "ostree.manifest": '{"config":{},"layers":[]}',
        "ostree.container.image-config": json.dumps(config),
    }


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BootedHost]:
    host = BootedHost.make(tmp_path)
    host.deploy(host.commit(metadata=_metadata("1")), _ORIGIN)
    host.boot()
    yield host
    host.release()


def test_status_tells_the_booted_image(host: BootedHost) -> None:
    document = host.status()
    jsonschema.Draft202012Validator(schema()).validate(document)
    booted = document["status"]["booted"]
    assert document["status"]["type"] == "bootcHost"
    assert booted["image"] == {
        "architecture": "amd64",
        "image": {"image": "quay.io/example/os:1", "transport": "registry"},
        "imageDigest": "sha256:" + "1" * 64,
        "timestamp": "2026-10-14T19:22:15.420000001Z",
        "version": "13.1",
    }
    assert booted["ostree"]["stateroot"] == "default"
    assert document["status"]["rollback"] is None


def test_status_places_rollback_pinned_and_foreign(host: BootedHost) -> None:
    tool_root = f"--sysroot={host.root}"
    for digit in "23":
        host.deploy(host.commit(metadata=_metadata(digit)), _ORIGIN)
    subprocess.run(["ostree", "admin", "stateroot-init", "other", tool_root], check=True)
    subprocess.run(["ostree", "admin", "pin", tool_root, "2"], check=True)
    host.deploy(host.commit(), "[origin]\nrefspec=a:b\n", stateroot="other")
    subprocess.run(["ostree", "admin", "set-default", tool_root, "1"], check=True)
    host.boot()
    document = host.status()
    jsonschema.Draft202012Validator(schema()).validate(document)
    status = document["status"]
    digests = [
        entry and entry["image"] and entry["image"]["imageDigest"][-1]
        for entry in (status["booted"], status["rollback"], *status["otherDeployments"])
    ]
    assert digests == ["3", "2", "1", None]
    assert [entry["pinned"] for entry in status["otherDeployments"]] == [True, False]
    assert status["otherDeployments"][1]["ostree"]["stateroot"] == "other"


def test_status_reads_the_cached_update(host: BootedHost) -> None:
    checksum = host.status()["status"]["booted"]["ostree"]["checksum"]
    _, repo = host.sysroot().get_repo(None)
    from gi.repository import GLib

    texts = {
        "ostree-ext.cached.manifest-digest": "sha256:" + "2" * 64,
        "ostree-ext.cached.manifest": "{}",
        "ostree-ext.cached.config": _metadata("2")["ostree.container.image-config"],
    }
    variants = {key: GLib.Variant("s", text) for key, text in texts.items()}
    repo.write_commit_detached_metadata(checksum, GLib.Variant("a{sv}", variants), None)
    update = host.status()["status"]["booted"]["cachedUpdate"]
    assert (update["imageDigest"], update["version"]) == ("sha256:" + "2" * 64, "13.2")


def test_status_works_without_privileges(host: BootedHost) -> None:
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
    host.root.parent.chmod(0o755)
    finished = subprocess.run(
        host.command(*as_nobody, "python3", "-m", "bootcpy", "status", "--json"),
        env=host.environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert finished.stderr == ""
    assert json.loads(finished.stdout) == host.status()


def test_status_ten_at_once_while_the_lock_is_held(host: BootedHost) -> None:
    sysroot = host.sysroot()
    sysroot.lock()
    try:
        readers = [
            subprocess.Popen(
                host.command("python3", "-m", "bootcpy", "status"),
                env=host.environment(),
                stdout=subprocess.DEVNULL,
            )
            for _ in range(10)
        ]
        assert [reader.wait(timeout=60) for reader in readers] == [0] * 10
    finally:
        sysroot.unlock()


def test_status_leaves_sysroot_read_only(host: BootedHost) -> None:
    script = "python3 -m bootcpy status >&2; touch /sysroot/x"
    finished = host.run("sh", "-c", script)
    assert "Read-only file system" in finished.stderr
    assert not (host.root / "x").exists()


def test_status_refuses_a_corrupt_origin(host: BootedHost) -> None:
    origin = next((host.root / "ostree/deploy/default/deploy").glob("*.origin"))
    origin.write_text("[origin]\ncontainer-image-reference=nonsense\n", encoding="utf-8")
    finished = host.bootc("status")
    assert finished.returncode == 1
    assert finished.stderr.splitlines() == [
        (
            f"error: {origin.name}: container-image-reference: 'nonsense' is not a "
            "signature-qualified image reference"
        ),
        "hint: correct the file, or remove the deployment with ostree admin undeploy",
    ]


def test_status_refuses_an_origin_that_is_no_key_file(host: BootedHost) -> None:
    origin = next((host.root / "ostree/deploy/default/deploy").glob("*.origin"))
    origin.write_text("nonsense\n", encoding="utf-8")
    finished = host.bootc("status")
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: the deployments of this system cannot be read: ")
    assert origin.name in finished.stderr


@pytest.mark.parametrize("module", ["sh", "rich", "pyudev", "parted"])
def test_status_does_not_load(host: BootedHost, module: str) -> None:
    script = (
        "import sys; from bootcpy.cli.app import main; sys.argv = ['bootc', 'status']; main();"
        f"sys.exit({module!r} in sys.modules)"
    )
    finished = subprocess.run(
        host.command("python3", "-c", script),
        env=host.environment(),
        stdout=subprocess.DEVNULL,
        check=False,
    )
    assert finished.returncode == 0


def test_labels_that_mean_ill_stay_on_their_lines(host: BootedHost) -> None:
    version = "1\n\n● Booted image: good\r\x1b[2J\x7f\x9b1A\u202e\u2028\ufeff"
    metadata = _metadata("2")
    config = json.loads(metadata["ostree.container.image-config"])
    config["config"]["Labels"]["version"] = version
    config["architecture"] = "amd64)\n Version: 9\x9b"
    metadata["ostree.container.image-config"] = json.dumps(config, ensure_ascii=False)
    metadata["ostree.manifest-digest"] = "sha256:2\nforged: yes"
    host.deploy(host.commit(metadata=metadata), _ORIGIN)
    host.boot()
    texts = {
        form: host.bootc("status", "--format", form).stdout
        for form in ("humanreadable", "yaml", "json")
    }
    for text in texts.values():
        assert text.replace("\n", "").isprintable()
    assert texts["humanreadable"].splitlines()[:3] == [
        "● Booted image: quay.io/example/os:1",
        r"        Digest: sha256:2\nforged: yes (amd64)\n Version: 9\x9b)",
        (
            r"       Version: 1\n\n● Booted image: good\r\x1b[2J\x7f\x9b1A\u202e\u2028\ufeff "
            "(2026-10-14T19:22:15Z)"
        ),
    ]
    for document in (json.loads(texts["json"]), yaml.safe_load(texts["yaml"])):
        image = document["status"]["booted"]["image"]
        assert image["version"] == version
        assert image["imageDigest"] == "sha256:2\nforged: yes"
