"""What the layers of an image make together, in a real repository."""

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from bootcpy.model.base.progress import BytesProgress
from bootcpy.model.image.reference import ImageReference
from bootcpy.ostree.base.repo import open_repo
from tests.layers import (
    Member,
    bootable_tree,
    directory,
    file,
    hardlink,
    noise,
    opaque,
    symlink,
    whiteout,
)
from tests.system.conftest import make_repo
from tests.system.support.oci_images import CREATED, LayerBlob, OciDirectory
from tests.system.support.pulls import Recorder, content, listing, ostree, pull, refs, require_sound

RECORDED = ImageReference.parse("docker://quay.io/example/os:1")
LOWER = tuple(bootable_tree())


def _merged(repo_path: Path, oci: OciDirectory, *layers: Sequence[Member]) -> dict[str, str]:
    image = oci.add_image([LayerBlob.of(*members) for members in (LOWER, *layers)])
    found = listing(repo_path, pull(repo_path, image))
    require_sound(repo_path)
    return found


def test_a_layer_changes_the_metadata_of_existing_directories(
    repo_path: Path, oci: OciDirectory
) -> None:
    upper = [
        directory("usr"),
        directory("usr/share", mode=0o2770, uid=6, gid=7, xattrs={"user.mood": "fine"}),
        directory("var"),
        directory("var/lib", mode=0o711),
    ]
    found = _merged(repo_path, oci, upper)
    assert found["usr/share"] == (
        "d02770 6 7 0 { [(b'user.mood', [byte 0x66, 0x69, 0x6e, 0x65])] }"
    )
    assert found["var/lib"] == "d00711 0 0 0"
    assert found["usr/share/notes"] == "-00644 0 0 4"


def test_a_layer_that_describes_only_etc_leaves_usr_alone(
    repo_path: Path, oci: OciDirectory
) -> None:
    lower = [directory("./", mode=0o555), directory("usr", mode=0o750, uid=3), file("usr/a", b"1")]
    upper = [directory("etc", mode=0o751), file("etc/b", b"2"), file("usr/deep/er/c", b"3")]
    image = oci.add_image([LayerBlob.of(*lower), LayerBlob.of(*upper)])
    found = listing(repo_path, pull(repo_path, image))
    assert (found[""], found["usr"]) == ("d00555 0 0 0", "d00750 3 0 0")
    assert found["usr/etc"] == "d00751 0 0 0"
    assert found["usr/deep/er"] == "d00755 0 0 0"


def test_whiteouts_hide_what_lower_layers_have(repo_path: Path, oci: OciDirectory) -> None:
    second = [
        whiteout("etc/hosts"),
        whiteout("usr/bin"),
        file("usr/share/more/deep/a", b"2"),
        whiteout("never/was"),
    ]
    third = [directory("usr/share/more"), opaque("usr/share/more"), file("usr/share/more/b", b"3")]
    found = _merged(repo_path, oci, second, third)
    assert "usr/etc/hosts" not in found
    assert not [path for path in found if path.startswith("usr/bin")]
    assert [path for path in found if path.startswith("usr/share/more/")] == ["usr/share/more/b"]
    assert not [path for path in found if ".wh." in path]


def test_even_whiteouts_of_the_lowest_layer_leave_no_trace(
    repo_path: Path, oci: OciDirectory
) -> None:
    image = oci.add_image([LayerBlob.of(*LOWER, whiteout("usr/share/x"), opaque("usr/bin"))])
    found = listing(repo_path, pull(repo_path, image))
    assert not [path for path in found if ".wh." in path]
    assert "usr/bin/tool" in found


def test_files_links_and_directories_replace_each_other(repo_path: Path, oci: OciDirectory) -> None:
    second = [
        file("usr/bin", b"was a directory"),
        directory("usr/share/notes"),
        file("usr/share/notes/a", b"was a file"),
        symlink("var", "usr/share"),
    ]
    third = [directory("var", mode=0o700), file("var/x", b"was a link")]
    found = _merged(repo_path, oci, second, third)
    assert found["usr/bin"].startswith("-00644")
    assert found["usr/share/notes"].startswith("d00755")
    assert found["var"] == "d00700 0 0 0"
    assert {path for path in found if path.startswith("var/")} == {"var/x"}


def test_hard_links_share_their_content(repo_path: Path, oci: OciDirectory) -> None:
    upper = [
        file("etc/a", b"shared", mode=0o600, uid=4),
        hardlink("usr/share/b", "etc/a"),
        hardlink("opt/c", "usr/share/b"),
    ]
    found = _merged(repo_path, oci, upper)
    assert found["usr/etc/a"] == found["usr/share/b"] == found["opt/c"] == "-00600 4 0 6"


def test_setuid_attributes_and_odd_names_survive(repo_path: Path, oci: OciDirectory) -> None:
    # Version 2, effective: CAP_NET_RAW permitted.
    capability = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0).decode("ascii")
    upper = [
        file("usr/bin/su", b"s", mode=0o4755),
        file("usr/bin/ping", b"p", xattrs={"security.capability": capability}),
        file("usr/share/日本/Grüße\n", b"x"),
        symlink("usr/bin/sh", "../../gone/Grüße"),
        file("usr/share/empty"),
    ]
    found = _merged(repo_path, oci, upper)
    assert found["usr/bin/su"] == "-04755 0 0 1"
    assert "security.capability" in found["usr/bin/ping"]
    assert found["usr/bin/sh"].endswith("-> ../../gone/Grüße")
    assert found["usr/share/empty"] == "-00644 0 0 0"


def test_what_a_build_leaves_in_etc_is_dropped_only_when_empty(
    repo_path: Path, oci: OciDirectory
) -> None:
    first = [file("etc/hostname"), file("etc/resolv.conf", b"nameserver ::1\n")]
    found = _merged(repo_path, oci, first)
    assert "usr/etc/hostname" not in found
    assert "usr/etc/resolv.conf" in found


def test_large_files_are_stored_whole_from_a_single_layer(
    repo_path: Path, oci: OciDirectory
) -> None:
    """A single layer is stored by several processes at once."""
    files = [file(f"usr/share/{number}", noise(number, 400_000)) for number in range(12)]
    image = oci.add_image([LayerBlob.of(*LOWER, *files, file("usr/big", noise(99, 5_000_000)))])
    commit = pull(repo_path, image)
    assert len([path for path in listing(repo_path, commit) if "usr/share/" in path]) == 13
    require_sound(repo_path)


def test_a_layer_twice_in_an_image_counts_twice(repo_path: Path, oci: OciDirectory) -> None:
    upper = [file("usr/share/notes", b"two\n")]
    found = _merged(repo_path, oci, upper, [whiteout("usr/share/notes")], upper)
    assert "usr/share/notes" in found


# ------------------------------------------------------------------------ what is recorded


def test_the_commit_records_the_image(repo_path: Path, oci: OciDirectory) -> None:
    layer = LayerBlob.of(*LOWER)
    commit = pull(repo_path, oci.add_image([layer]), record_as=RECORDED)
    repo = open_repo(repo_path)
    _, variant, _ = repo.load_commit(commit)
    metadata = variant.get_child_value(0).unpack()
    assert metadata.keys() == {
        "ostree.manifest-digest",
        "ostree.manifest",
        "ostree.container.image-config",
        "ostree.importer.version",
    }
    assert layer.digest in metadata["ostree.manifest"]
    assert metadata["ostree.manifest"].startswith('{"config":{"digest":')
    assert layer.diff_id in metadata["ostree.container.image-config"]
    assert (variant.get_child_value(3).unpack(), variant.get_child_value(4).unpack()) == ("", "")
    assert "Parent:" not in ostree(repo_path, "show", commit)
    date = ostree(repo_path, "show", commit).split("Date:")[1].split("\n")[0].strip()
    assert date == CREATED.replace("T", " ").replace("Z", " +0000")
    assert refs(repo_path).keys() == {
        layer.ref,
        "image/docker_3A__2F__2F_quay_2E_io/example/os_3A_1",
    }


def test_equal_images_give_equal_commits(
    repo_path: Path, oci: OciDirectory, tmp_path: Path
) -> None:
    layers = [LayerBlob.of(*LOWER), LayerBlob.of(file("etc/b", b"2"), whiteout("usr/bin"))]
    image = oci.add_image(layers)
    other = make_repo(tmp_path / "other")
    assert pull(repo_path, image) == pull(other, image)


def test_without_a_time_of_creation_the_import_still_works(
    repo_path: Path, oci: OciDirectory
) -> None:
    assert pull(repo_path, oci.add_image([LayerBlob.of(*LOWER)], created=None))


def test_a_new_version_fetches_its_new_layer_only(repo_path: Path, oci: OciDirectory) -> None:
    base = LayerBlob.of(*LOWER)
    first = pull(repo_path, oci.add_image([base]), record_as=RECORDED)
    oci.blob_path(base.digest).unlink()
    story = Recorder()
    newer = oci.add_image([base, LayerBlob.of(file("etc/b", b"2"))], tag="newer")
    second = pull(repo_path, newer, record_as=RECORDED, progress=story)
    assert story.notes[0].startswith("layers already present: 1; layers needed: 1 (")
    assert second != first
    assert content(repo_path, second, "/usr/etc/b") == "2"
    assert refs(repo_path)["image/docker_3A__2F__2F_quay_2E_io/example/os_3A_1"] == second


@pytest.mark.parametrize("position", [0, 1])
def test_an_empty_layer_changes_nothing(repo_path: Path, oci: OciDirectory, position: int) -> None:
    layers = [LayerBlob.of(*LOWER)]
    layers.insert(position, LayerBlob.of())
    found = listing(repo_path, pull(repo_path, oci.add_image(layers)))
    assert "usr/bin/tool" in found
    assert found["usr/share"] == "d00751 5 0 0"


def test_many_small_layers_do_not_get_in_each_others_way(
    repo_path: Path, oci: OciDirectory
) -> None:
    """Some begin while others end: without a lock, libostree failed at one in two hundred."""
    layers = [LayerBlob.of(file(f"usr/share/{index}")) for index in range(200)]
    found = listing(repo_path, pull(repo_path, oci.add_image([LayerBlob.of(*LOWER), *layers])))
    assert {f"usr/share/{index}" for index in range(200)} <= found.keys()


class _Descriptors(Recorder):
    """Remembers how many descriptors were open when so many layers were whole."""

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[int, int] = {}

    def transferred(self, event: BytesProgress) -> None:
        count = sum(1 for _ in Path("/proc/self/fd").iterdir())
        self.open[event.steps] = max(count, self.open.get(event.steps, 0))


def test_layers_that_are_done_hold_nothing_open(repo_path: Path, oci: OciDirectory) -> None:
    # Too large to be taken in together.
    layers = [LayerBlob.of(file(f"usr/{index}", noise(index, 70_000))) for index in range(40)]
    descriptors = _Descriptors()
    pull(repo_path, oci.add_image(layers), progress=descriptors)
    early = max(count for done, count in descriptors.open.items() if done < 20)
    late = max(count for done, count in descriptors.open.items() if done >= 20)
    assert late < early + 10
