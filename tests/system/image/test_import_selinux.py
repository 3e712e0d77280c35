"""Images that bring an SELinux policy: their files are labelled by it."""

from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.ostree.base.repo import open_repo
from bootcpy.ostree.image.recheck import Rechecked, recheck
from tests.layers import Member, directory, file, symlink, whiteout
from tests.refusals import refused
from tests.system.support.encapsulate import Commit, labels
from tests.system.support.oci_images import LayerBlob, OciDirectory
from tests.system.support.pulls import listing, pull, require_sound

_CONTEXTS = """\
/.*	system_u:object_r:default_t:s0
/usr/bin(/.*)?	system_u:object_r:bin_t:s0
/usr/etc(/.*)?	system_u:object_r:etc_t:s0
"""


def _policy() -> list[Member]:
    top = "usr/etc/selinux"
    return [
        directory("usr"),
        directory("usr/bin"),
        file("usr/bin/added", b"1"),
        directory("usr/etc"),
        directory(top),
        file(f"{top}/config", b"SELINUX=enforcing\nSELINUXTYPE=tiny\n"),
        directory(f"{top}/tiny"),
        directory(f"{top}/tiny/policy"),
        file(f"{top}/tiny/policy/policy.33", b"not read for labelling"),
        directory(f"{top}/tiny/contexts"),
        directory(f"{top}/tiny/contexts/files"),
        file(f"{top}/tiny/contexts/files/file_contexts", _CONTEXTS.encode()),
    ]


def test_files_are_labelled_by_the_policy_of_the_merged_tree(
    repo_path: Path, oci: OciDirectory, commit: Commit
) -> None:
    layers = commit().layers()
    upper = LayerBlob.of(*_policy())
    first = oci.add_image([*layers, upper], labels=labels(layers))
    merged = pull(repo_path, first)
    found = listing(repo_path, merged)
    label = {path: "bin_t" in facts or facts for path, facts in found.items()}
    assert label["usr/bin/tool"] is True
    assert label["usr/bin/added"] is True
    assert "default_t" in found["usr/share/docs/Grüße"]
    assert "user.mood" in found["usr/share/docs/Grüße"]
    require_sound(repo_path)
    # Once more over what is labelled already: every file has one label still.
    more = [*layers, upper, LayerBlob.of(file("usr/bin/more", b"2"))]
    second = oci.add_image(more, tag="next", labels=labels(layers))
    again = listing(repo_path, pull(repo_path, second))
    assert again["usr/bin/tool"] == found["usr/bin/tool"]
    assert again["usr/bin/more"].count("security.selinux") == 1
    assert recheck(open_repo(repo_path), repo_path, merged) == Rechecked()


def test_a_label_that_a_layer_brings_is_replaced(repo_path: Path, oci: OciDirectory) -> None:
    stale = {"security.selinux": "system_u:object_r:stale_t:s0\0", "user.mood": "good"}
    labelled = [
        directory("usr/lib", xattrs=stale),
        file("usr/bin/labelled", b"1", xattrs=stale),
    ]
    image = oci.add_image([LayerBlob.of(*_policy(), *labelled)])
    found = listing(repo_path, pull(repo_path, image))
    assert found["usr/bin/labelled"].count("security.selinux") == 1
    assert "user.mood" in found["usr/bin/labelled"]
    assert not [path for path, facts in found.items() if "stale_t" in facts]
    require_sound(repo_path)


_TOP = "usr/etc/selinux"
_CONFIG = "SELINUX=enforcing\nSELINUXTYPE={}\n"


_INSIDE = "replace it by a file; links within one directory are allowed"


@pytest.mark.parametrize(
    ("members", "message", "hint"),
    [
        (
            [file(f"{_TOP}/config", _CONFIG.format("../../../host").encode())],
            "SELINUXTYPE to '../",
            "set SELINUXTYPE to the name of a directory in /etc/selinux",
        ),
        (
            [file(f"{_TOP}/config", b"#" * 65_537)],
            "config of the image is larger than 64 KiB",
            "build or pull the image again",
        ),
        (
            [symlink(f"{_TOP}/config", "{}/config")],
            f"{_TOP}/config of the image is a link",
            _INSIDE,
        ),
        (
            [whiteout(f"{_TOP}/tiny"), symlink(f"{_TOP}/tiny", "{}/tiny")],
            f"{_TOP}/tiny of the",
            _INSIDE,
        ),
        (
            [symlink(f"{_TOP}/tiny/contexts/files/file_contexts", "{}/tiny/file_contexts")],
            "files/file_contexts of the image is a link",
            _INSIDE,
        ),
        (
            [symlink(f"{_TOP}/tiny/policy/policy.33", "../../x")],
            "policy.33 of the image is a link",
            _INSIDE,
        ),
    ],
    ids=["type", "large", "config", "policy", "contexts", "relative"],
)
def test_a_policy_of_the_host_is_not_taken_for_the_images(
    repo_path: Path,
    oci: OciDirectory,
    tmp_path: Path,
    members: list[Member],
    message: str,
    hint: str,
) -> None:
    for member in members:
        member.header.linkname = member.header.linkname.format(tmp_path / "host")
    image = oci.add_image([LayerBlob.of(*_policy()), LayerBlob.of(*members)])
    with refused(ImageContentError, message, hint=hint):
        pull(repo_path, image)


def test_links_within_a_directory_of_the_policy_may_stay(
    repo_path: Path, oci: OciDirectory
) -> None:
    link = symlink(f"{_TOP}/tiny/contexts/files/other", "file_contexts")
    image = oci.add_image([LayerBlob.of(*_policy(), link)])
    assert "bin_t" in listing(repo_path, pull(repo_path, image))["usr/bin/added"]
