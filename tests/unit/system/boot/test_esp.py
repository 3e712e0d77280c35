from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.system.boot.esp import (
    loader_files,
    planned_files,
    stub_config,
    vendor_directory,
    vendor_of,
)
from tests.refusals import refused

GRUB = b"\0prefix\0(memdisk)\0\x03\0\0\0\x18\0\0\0/EFI/debian\0\0\0"
FILES = {
    "usr/lib/shim/shimx64.efi.signed": b"shim",
    "usr/lib/shim/mmx64.efi.signed": b"mm",
    "usr/lib/shim/mmx64.efi": b"unsigned",
    "usr/lib/shim/fbx64.efi.signed": b"fb",
    "usr/lib/shim/BOOTX64.CSV": b"csv",
    "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed": GRUB,
}


def image(root: Path, *, without: str = "") -> Path:
    for name, content in FILES.items():
        if name != without:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    return root


def test_planned_files_end_with_what_the_firmware_starts(tmp_path: Path) -> None:
    files = planned_files(image(tmp_path), machine="x86_64", root_uuid="u-u")
    assert [(str(file.path), file.source and file.source.name) for file in files] == [
        ("EFI/debian/grub.cfg", None),
        ("EFI/debian/mmx64.efi", "mmx64.efi.signed"),
        ("EFI/debian/grubx64.efi", "grubx64.efi.signed"),
        ("EFI/debian/BOOTX64.CSV", "BOOTX64.CSV"),
        ("EFI/debian/fbx64.efi", "fbx64.efi.signed"),
        ("EFI/debian/shimx64.efi", "shimx64.efi.signed"),
        ("EFI/BOOT/mmx64.efi", "mmx64.efi.signed"),
        ("EFI/BOOT/grubx64.efi", "grubx64.efi.signed"),
        ("EFI/BOOT/BOOTX64.EFI", "shimx64.efi.signed"),
    ]
    assert files[0].text == stub_config("u-u")


@pytest.mark.parametrize(
    "missing",
    [
        "usr/lib/shim/shimx64.efi.signed",
        "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
    ],
)
def test_planned_files_refuse_an_image_without_loader(tmp_path: Path, missing: str) -> None:
    root = image(tmp_path, without=missing)
    with refused(
        ImageContentError,
        f"no boot loader file /{missing}",
        hint=(
            "install shim-signed and the signed grub-efi package in the image, "
            "or use --bootloader none"
        ),
    ):
        planned_files(root, machine="x86_64", root_uuid="u")


def test_planned_files_refuse_a_machine_without_signed_loader(tmp_path: Path) -> None:
    with pytest.raises(ImageContentError, match="known for s390x"):
        planned_files(image(tmp_path), machine="s390x", root_uuid="u")


def test_stub_config_needs_no_module() -> None:
    assert stub_config("0a-1b") == (
        "search.fs_uuid 0a-1b root\n"
        "set prefix=($root)/boot/grub\n"
        "configfile ($root)/boot/loader/grub.cfg\n"
    )


@pytest.mark.parametrize(
    ("binary", "vendor"),
    [(GRUB, "debian"), (b"/EFI/BOOT\0x/EFI/ubuntu\0/EFI/ubuntu\0", "ubuntu")],
)
def test_vendor_directory_is_the_one_compiled_in(binary: bytes, vendor: str) -> None:
    assert vendor_directory(binary) == vendor


@pytest.mark.parametrize("binary", [b"", b"/EFI/BOOT\0", b"/EFI/a\0/EFI/b\0", b"/EFI/..\0"])
def test_vendor_directory_refuses_to_guess(binary: bytes) -> None:
    with pytest.raises(ImageContentError, match="configuration directories"):
        vendor_directory(binary)


def test_loader_files_are_found_under_ubuntus_names(tmp_path: Path) -> None:
    root = image(tmp_path, without="usr/lib/shim/mmx64.efi.signed")
    (root / "usr/lib/shim/shimx64.efi.signed").unlink()
    (root / "usr/lib/shim/shimx64.efi.signed").symlink_to("/etc/alternatives/shimx64.efi.signed")
    (root / "usr/lib/shim/shimx64.efi.signed.latest").write_bytes(b"shim")
    names = [file.name for file in loader_files(root, "x86_64")]
    assert names == ["shimx64.efi.signed.latest", "grubx64.efi.signed", "mmx64.efi"]


def test_loader_files_want_a_mok_manager(tmp_path: Path) -> None:
    root = image(tmp_path, without="usr/lib/shim/mmx64.efi.signed")
    (root / "usr/lib/shim/mmx64.efi").unlink()
    with pytest.raises(ImageContentError, match=r"no boot loader file /usr/lib/shim/mmx64\.efi"):
        loader_files(root, "x86_64")


@pytest.mark.parametrize("name", FILES)
def test_loader_files_outside_the_image_do_not_count(tmp_path: Path, name: str) -> None:
    root = image(tmp_path / "root")
    secret = tmp_path / "secret"
    (root / name).rename(secret)
    (root / name).symlink_to(secret)
    required = name.partition("/")[2].startswith(("lib/shim/shimx64", "lib/grub"))
    if required:
        with pytest.raises(ImageContentError, match=f"no boot loader file /{name}"):
            planned_files(root, machine="x86_64", root_uuid="u")
        return
    files = planned_files(root, machine="x86_64", root_uuid="u")
    assert Path(name) not in {file.source for file in files}


def test_loader_files_are_found_through_links_of_the_image(tmp_path: Path) -> None:
    """Ubuntu's shim is chosen by update-alternatives."""
    root = image(tmp_path)
    shim = root / "usr/lib/shim/shimx64.efi.signed"
    shim.rename(shim.with_name("other"))
    shim.symlink_to("/etc/alternatives/shim")
    (root / "etc/alternatives").mkdir(parents=True)
    (root / "etc/alternatives/shim").symlink_to("/usr/lib/shim/other")
    assert loader_files(root, "x86_64")[0] == Path("usr/lib/shim/shimx64.efi.signed")


def test_a_loader_file_has_a_limit(tmp_path: Path) -> None:
    root = image(tmp_path)
    with (root / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed").open("r+b") as grub:
        grub.truncate(1 << 40)
    with pytest.raises(ImageContentError, match="the image: it is larger than 64 MiB"):
        vendor_of(root, "x86_64")
