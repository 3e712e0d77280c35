"""An image's SELinux policy, before libostree reads it: no part of it may be the host's.

libostree opens the policy by its path, and follows what it finds there wherever that leads.
"""

from bootcpy.errors import ImageContentError
from bootcpy.model.base.size import LARGEST_CONFIGURATION_BYTES, format_size
from bootcpy.model.boot.selinux import parse_policy_types
from bootcpy.model.layers.tree import Directory
from bootcpy.ostree.base.bindings import Gio, OSTree
from bootcpy.ostree.base.objects import open_tree
from bootcpy.ostree.base.repo import explained

_PLACE = "usr/etc/selinux"


def has_policy(root: Directory) -> bool:
    """Tell whether the tree brings a policy to label its files by."""
    selinux = root.find(_PLACE)
    return selinux is not None and "config" in selinux.files and bool(selinux.dirs)


def require_own_policy_of_commit(repo: OSTree.Repo, commit: str) -> None:
    """Refuse a commit as `require_own_policy` does: libostree labels kernels when it deploys.

    Raises:
        ImageContentError: as there.
    """
    with explained(f"commit {commit} cannot be read"):
        require_own_policy(repo, open_tree(repo, commit))


def require_own_policy(repo: OSTree.Repo, root: Directory) -> None:
    """Refuse a tree whose policy is not, or not all, within it.

    Raises:
        ImageContentError: a link leads out of the policy, or the configuration names another
            place.
    """
    selinux = root.find(_PLACE)
    if selinux is None or "config" not in selinux.files:
        return
    if "etc" in root.files or root.find("etc/selinux") is not None:  # where libostree looks first
        raise _foreign("etc")
    text = _read(repo, selinux.files["config"], f"{_PLACE}/config")
    for name in parse_policy_types(text):
        if name in selinux.files:
            raise _foreign(f"{_PLACE}/{name}")
        policy = selinux.dirs.get(name)
        if policy is not None:
            _require_no_way_out(repo, policy, f"{_PLACE}/{name}")


def _require_no_way_out(repo: OSTree.Repo, directory: Directory, path: str) -> None:
    for name, checksum in directory.files.items():
        _, _, info, _ = repo.load_file(checksum, None)
        target = str(info.get_symlink_target()) if info.get_is_symlink() else ""
        if target.startswith("/") or ".." in target.split("/"):
            raise _foreign(f"{path}/{name}")
    for name, below in directory.dirs.items():
        _require_no_way_out(repo, below, f"{path}/{name}")


def _read(repo: OSTree.Repo, checksum: str, path: str) -> str:
    _, stream, info, _ = repo.load_file(checksum, None)
    if info.get_file_type() != Gio.FileType.REGULAR:
        raise _foreign(path)
    if info.get_size() > LARGEST_CONFIGURATION_BYTES:
        largest = format_size(LARGEST_CONFIGURATION_BYTES)
        raise ImageContentError(f"/{path} of the image is larger than {largest}")
    parts = iter(lambda: stream.read_bytes(LARGEST_CONFIGURATION_BYTES, None).get_data(), b"")
    return b"".join(parts).decode(errors="replace")


def _foreign(path: str) -> ImageContentError:
    return ImageContentError(
        f"/{path} of the image is a link, which may lead out of its SELinux policy",
        hint="replace it by a file; links within one directory are allowed",
    )
