"""Repositories, images and a registry for tests that need real libostree and real skopeo."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootcpy.ostree.base.repo import open_repo
from tests.system.support.booted_host import BootedHost
from tests.system.support.disks import new_disk_file, small_system
from tests.system.support.encapsulate import Attributes, Commit, Encapsulation
from tests.system.support.installed_host import KARGS_1, installed
from tests.system.support.marks import MAY_MOUNT
from tests.system.support.oci_images import OciDirectory
from tests.system.support.oci_layout import BASE, write_image
from tests.system.support.pulls import ostree
from tools.registry import REGISTRY, Registry, serving

# The only place skopeo looks at besides root's home.
CONFIGURATION = Path("/etc/containers/registries.conf.d/bootcpy-test.conf")


@pytest.fixture
def repo_path(tmp_path: Path) -> Path:
    """An empty bare repository."""
    if os.geteuid() != 0:
        pytest.skip("files of other owners are stored: runs as root in a container of the image")
    return make_repo(tmp_path / "repo")


def make_repo(path: Path) -> Path:
    subprocess.run(["ostree", f"--repo={path}", "init", "--mode=bare"], check=True)
    return path


@pytest.fixture
def oci(tmp_path: Path) -> OciDirectory:
    return OciDirectory(tmp_path / "oci")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The reference of a small image that installs; its kernel boots nothing."""
    directory = OciDirectory(tmp_path_factory.mktemp("image") / "oci")
    return str(directory.add_image([small_system()]))


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Where an OCI layout may be written."""
    return tmp_path / "layout"


@pytest.fixture
def host(tmp_path: Path, layout: Path) -> Iterator[BootedHost]:
    """A host that seems to run version 1 of the image in `layout`, installed by our own code."""
    write_image(layout, [BASE | KARGS_1])
    with installed(tmp_path, layout, kargs=["root=UUID=x", "rw", "a=1", "shared"]) as running:
        yield running


@pytest.fixture
def disk_file(tmp_path: Path) -> Path:
    """An empty disk file, large enough for the small image."""
    return new_disk_file(tmp_path / "disk.img")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A running registry; skopeo accepts that it has no certificate."""
    if shutil.which(REGISTRY) is None:
        pytest.skip(f"needs {REGISTRY}")
    if not MAY_MOUNT:
        pytest.skip("configures skopeo: runs as root in a container of the image")
    with serving(tmp_path / "registry") as server:
        CONFIGURATION.parent.mkdir(parents=True, exist_ok=True)
        CONFIGURATION.write_text(
            f'[[registry]]\nlocation = "127.0.0.1:{server.port}"\ninsecure = true\n',
            encoding="utf-8",
        )
        yield server
        CONFIGURATION.unlink()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Path]:
    """An empty podman storage at its usual place, for this test alone."""
    if not MAY_MOUNT:
        pytest.skip("mounts over podman's storage: runs as root in a container of the image")
    place, own = Path("/var/lib/containers"), tmp_path / "containers"
    own.mkdir()
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", own, place], check=True)
    yield place / "storage"
    subprocess.run(["umount", "--recursive", place], check=True)


@pytest.fixture
def commit(tmp_path: Path) -> Commit:
    """Make a commit of a tree with a bit of everything."""

    def make(
        prepare_root: str | None = None, attributes: Attributes = Attributes.INLINE
    ) -> Encapsulation:
        source, tree = tmp_path / "source", tmp_path / "tree"
        for path in ("usr/bin", "usr/etc", "usr/share/docs", "usr/lib/ostree", "sysroot", "var"):
            (tree / path).mkdir(parents=True)
        (tree / "usr/bin/tool").write_bytes(os.urandom(300_000))
        (tree / "usr/bin/tool").chmod(0o4755)
        (tree / "usr/bin/large").write_bytes(os.urandom(3_000_000))
        (tree / "usr/bin/alias").symlink_to("tool")
        (tree / "usr/etc/hosts").write_text("127.0.0.1 localhost\n", encoding="utf-8")
        (tree / "usr/share/docs/leer").touch()
        (tree / "usr/share/docs/Grüße").write_text("hello\n", encoding="utf-8")
        os.setxattr(tree / "usr/share/docs/Grüße", "user.mood", b"\x00\xffgood")
        os.setxattr(tree / "usr/bin/alias", "security.test", b"1", follow_symlinks=False)
        os.chown(tree / "usr/share/docs", 12, 34)
        (tree / "usr/share/docs").chmod(0o2750)
        if prepare_root is not None:
            (tree / "usr/lib/ostree/prepare-root.conf").write_text(prepare_root, encoding="utf-8")
        ostree(source, "init", "--mode=bare")
        checksum = ostree(source, "commit", f"--tree=dir={tree}", "--branch=os").strip()
        return Encapsulation(open_repo(source), checksum, attributes)

    return make
