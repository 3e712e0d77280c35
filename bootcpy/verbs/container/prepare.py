"""`bootc container prepare`: a Debian root file system with a kernel becomes a bootable image.

Runs as the last RUN of a Containerfile, in the image's own root, and again at the end of
each image derived from it. Every refusal comes before the first change; a step that finds
its work done changes nothing, so that its layer stays small.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bootcpy.model.base.listing import shown_few
from bootcpy.model.base.progress import Progress
from bootcpy.model.base.size import MIB
from bootcpy.model.container.files import (
    PROGRAM,
    ImageFile,
    files_to_write,
    foreign_files,
    image_files,
)
from bootcpy.model.container.prepare import (
    KernelPlan,
    MoveAndLink,
    modules_directories,
    plan_kernel,
    plan_top_level,
    require_image_build,
    require_usr_merged,
)
from bootcpy.model.container.var import FACTORY, declared_paths, plan_relocations, plan_var
from bootcpy.paths import MODULES
from bootcpy.system.container import bytecode, dracut, image_tree
from bootcpy.system.container.package_data import read_shipped
from bootcpy.system.files import below
from bootcpy.system.files.directory_tree import DirectoryTree

_VAR_CONF = "bootc-var.conf"
_MACHINE_ID = "uninitialized\n"  # machine-id(5): makes the next boot the first one


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparePlan:
    """Every choice made before the first change."""

    kernel: KernelPlan
    moves: tuple[MoveAndLink, ...]
    files: tuple[ImageFile, ...]
    foreign: tuple[str, ...]


def prepare(progress: Progress) -> None:
    """Make the root file system this runs in bootable, and say what was done, one line each.

    Raises:
        PrivilegeError: not root.
        EnvironmentMismatchError: this is not an image build, or a mount is in the way.
        ImageContentError: no kernel, more than one, no ostree-prepare-root, not usr-merged.
        ToolFailedError: dracut failed.
    """
    root = Path("/")
    require_image_build(image_tree.read_surroundings())
    plan = _plan(root)
    for step in plan.moves:
        image_tree.move_and_link(root, step)
        progress.note(f"/{step.name} is now a link to {step.destination}")
    (root / "sysroot").mkdir(exist_ok=True)
    _write_files(root, plan, progress)
    _prepare_kernel(root, plan.kernel, progress)
    _prepare_initramfs(root, plan.kernel.version, progress)
    _empty_boot(root, progress)
    _forget_identity(root, progress)
    _prepare_var(root, progress)
    changed = bytecode.make_independent_of_time(root)
    if changed:
        progress.note(f"made {changed} compiled Python modules independent of file times")
    _empty_run(root, progress)


def _plan(root: Path) -> PreparePlan:
    require_usr_merged(image_tree.read_merged_links(root))
    dracut.require_ostree_module(root)
    present = image_tree.read_image_files(root)
    disabled_units = image_tree.read_disabled_units(root)
    wanted = image_files(read_shipped(), present, disabled_units)
    plan = PreparePlan(
        kernel=plan_kernel(
            image_tree.read_boot_kernels(root),
            modules_directories(DirectoryTree(root)),
            prepared=dracut.recorded_version(root),
        ),
        moves=plan_top_level(image_tree.read_top_level(root)),
        files=(
            *files_to_write(wanted, present),
            *(() if below.exists(root, PROGRAM.path) else (PROGRAM,)),
        ),
        foreign=foreign_files(wanted, present),
    )
    moved = [root / step.name for step in plan.moves]
    image_tree.require_not_mounted([*moved, root / "boot"], image_tree.mount_points())
    return plan


def _write_files(root: Path, plan: PreparePlan, progress: Progress) -> None:
    for file in plan.files:
        image_tree.write(root, file)
        progress.note(f"wrote /{file.path}: {file.purpose}")
    for path in plan.foreign:
        progress.note(f"kept /{path}, which bootc has not written")


def _prepare_kernel(root: Path, plan: KernelPlan, progress: Progress) -> None:
    for version in plan.left_over:
        image_tree.remove(root / MODULES / version)
        progress.note(f"removed /{MODULES / version}, whose package is not installed any more")
    if not plan.from_boot:
        progress.note(f"kept kernel {plan.version}")
        return
    source, directory = root / "boot" / f"vmlinuz-{plan.version}", root / MODULES / plan.version
    image_tree.relocate(source, directory / "vmlinuz", link_text=None)
    progress.note(f"moved kernel {plan.version} to /{MODULES / plan.version}/vmlinuz")


def _prepare_initramfs(root: Path, version: str, progress: Progress) -> None:
    if dracut.is_up_to_date(root, version):
        progress.note("kept the initramfs: its sources have not changed")
        return
    with progress.step("building the initramfs (about 20 seconds)"):
        size_bytes = dracut.build(version)
    progress.note(f"built /{MODULES / version}/initramfs.img ({size_bytes / MIB:.0f} MiB)")


def _empty_boot(root: Path, progress: Progress) -> None:
    removed = image_tree.empty(root / "boot")
    # Debian's links to the newest and the previous kernel.
    links = ("vmlinuz", "vmlinuz.old", "initrd.img", "initrd.img.old")
    for name in links:
        if (root / name).is_symlink():
            image_tree.remove(root / name)
    if removed:
        progress.note(f"removed from /boot: {shown_few(removed, limit=10)}")


def _forget_identity(root: Path, progress: Progress) -> None:
    """Remove what each machine has to make for itself."""
    machine_id = root / "etc/machine-id"
    if not machine_id.is_file() or machine_id.read_bytes() != _MACHINE_ID.encode():
        machine_id.unlink(missing_ok=True)
        machine_id.write_text(_MACHINE_ID, encoding="ascii")
        machine_id.chmod(0o444)
        progress.note("set /etc/machine-id to uninitialized: each machine makes its own")
    keys = sorted((root / "etc/ssh").glob("ssh_host_*_key*"))
    for key in keys:
        image_tree.remove(key)
    if keys:
        progress.note("removed the SSH host keys: each machine makes its own")


def _prepare_var(root: Path, progress: Progress) -> None:
    mounts = image_tree.mount_points()
    for step in plan_relocations(image_tree.read_var(root, mounts)):
        source, destination = root / "var" / step.path, root / step.destination
        image_tree.relocate(source, destination, link_text=step.target)
        progress.note(f"moved /var/{step.path} to /{step.destination}, and made a link to it")
    conf = root / "usr/lib/tmpfiles.d" / _VAR_CONF
    before = conf.read_text(encoding="utf-8") if conf.exists() else ""
    plan = plan_var(
        image_tree.read_var(root, mounts),
        previous=before,
        factory=image_tree.read_factory(root),
        declared=declared_paths(image_tree.read_tmpfiles(root, without=_VAR_CONF)),
        known_owners=image_tree.known_owners(),
    )
    for path in plan.factory:
        destination = root / FACTORY / "var" / path
        image_tree.relocate(root / "var" / path, destination, link_text=None)
        progress.note(f"made /var/{path} a factory default, copied on the first boot")
    _drop(root, plan.removed, progress)
    if plan.tmpfiles != before:
        path = str(conf.relative_to(root))
        image_tree.write(root, ImageFile(path=path, text=plan.tmpfiles, purpose=""))
        progress.note(f"wrote /{path}: {plan.tmpfiles.count('/var/')} paths in /var")


def _empty_run(root: Path, progress: Progress) -> None:
    """Remove what package installation left where a running system has memory."""
    # /var/lock is a link to run/lock, which maintainer scripts use in a build as well.
    kept = image_tree.mount_points() | {root / "run/lock"}
    removed = image_tree.empty(root / "run", kept)
    if removed:
        progress.note(f"removed from /run: {shown_few(removed, limit=10)}")


def _drop(root: Path, removed: Sequence[str], progress: Progress) -> None:
    gone = [path for path in removed if image_tree.remove(root / "var" / path)]
    if gone:
        progress.note(f"removed {len(gone)} caches, logs and similar files from /var")
