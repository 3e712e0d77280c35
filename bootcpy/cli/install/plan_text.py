"""The drawing that `install to-disk --dry-run` shows: plain text, 80 columns."""

import textwrap
from collections.abc import Iterable, Sequence

from bootcpy.model.base.listing import shown_few
from bootcpy.model.base.printable import LONGEST_LABEL, printable
from bootcpy.model.base.size import MIB, format_size
from bootcpy.model.install.layout import DiskLayout, Partition, PartitionRole
from bootcpy.model.install.plan import InstallPlan

_WIDTH = 80
_LABEL_WIDTH = 9  # beside a digest, 80 columns exactly
_NARROWEST = 3  # cells of the bar inside its borders

_TYPES = {
    PartitionRole.BIOS_BOOT: "BIOS boot",
    PartitionRole.ESP: "EFI system",
    PartitionRole.PREP: "PowerPC PReP",
    PartitionRole.ROOT: "Linux root",
}


def render_plan(plan: InstallPlan) -> str:
    """Return the plan for people, ending in a newline."""
    deploy = plan.deploy
    disk = plan.disk
    about = [format_size(disk.size_bytes), *(word for word in (disk.model, disk.serial) if word)]
    version = ""
    if plan.image_version:
        version = f" (version {printable(plan.image_version, limit=LONGEST_LABEL)})"
    layers = f"{plan.image_layers} layer{'s' if plan.image_layers != 1 else ''}"
    rows = [
        ("Disk", f"{disk.path}  ({', '.join(about)})"),
        *(("", line) for line in _fate(plan)),
        ("Image", f"{str(deploy.source).partition('@')[0]}{version}"),
        ("Digest", deploy.manifest_digest),
        ("Contents", f"{format_size(plan.image_bytes)} unpacked, {layers}"),
        ("Follows", str(deploy.follows)),
        ("State", deploy.stateroot),
        ("Boot", _boot_loader(plan)),
        ("Kernel", " ".join(plan.kargs)),
    ]
    if deploy.root_ssh_authorized_keys is not None:
        rows.append(("SSH keys", "for root, from --root-ssh-authorized-keys"))
    lines = [
        *_labelled(rows),
        "",
        *_bar(plan.layout),
        "",
        *_table(plan.layout),
        "",
        "Nothing has been written.",
    ]
    return "\n".join(lines) + "\n"


def _fate(plan: InstallPlan) -> list[str]:
    if not plan.disk.contents:
        return ["empty"]
    return [f"holds {shown_few(plan.disk.contents, limit=16)}", "all of it will be destroyed"]


def _boot_loader(plan: InstallPlan) -> str:
    entry = "no firmware entry" if plan.deploy.generic_image else "with a firmware entry"
    return f"{plan.deploy.bootloader} ({entry})"


def _labelled(rows: Iterable[tuple[str, str]]) -> list[str]:
    lines: list[str] = []
    for label, text in rows:
        indent = " " * _LABEL_WIDTH
        wrapped = textwrap.wrap(
            printable(text), _WIDTH - _LABEL_WIDTH, break_long_words=False, break_on_hyphens=False
        )
        lines.append(f"{label:<{_LABEL_WIDTH}}{wrapped[0] if wrapped else ''}".rstrip())
        lines += [indent + line for line in wrapped[1:]]
    return lines


def _bar(layout: DiskLayout) -> list[str]:
    """Return the disk as a row of boxes, wide as the partitions are large."""
    names = [_caption(p) for p in layout.partitions]
    sizes = [p.size_bytes for p in layout.partitions]
    unused = layout.size_bytes - layout.partitions[-1].end_bytes - MIB
    if unused > MIB:
        names.append(("unused", format_size(unused)))
        sizes.append(unused)
    minimums = [max(_NARROWEST, *(len(word) + 2 for word in words)) for words in names]
    widths = share_cells(sizes, minimums, _WIDTH - len(sizes) - 1)
    return [
        "┌" + "┬".join("─" * width for width in widths) + "┐",
        *(
            "│"
            + "│".join(f"{words[row]:^{width}}" for words, width in zip(names, widths, strict=True))
            + "│"
            for row in range(2)
        ),
        "└" + "┴".join("─" * width for width in widths) + "┘",
    ]


def _caption(partition: Partition) -> tuple[str, str]:
    return (partition.name, format_size(partition.size_bytes))


def share_cells(sizes: Sequence[int], minimums: Sequence[int], cells: int) -> list[int]:
    """Return how many of `cells` each size gets: its share, but no less than its minimum."""
    widths = list(minimums)
    spare = max(cells - sum(widths), 0)
    total = sum(sizes)
    shares = [spare * size // total for size in sizes]
    shares[sizes.index(max(sizes))] += spare - sum(shares)
    return [width + share for width, share in zip(widths, shares, strict=True)]


def _table(layout: DiskLayout) -> list[str]:
    header = ("#", "Name", "Type", "Start", "Size", "Content")
    rows = [header, *(_row(p) for p in layout.partitions)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    right = {0, 3, 4}
    return [
        "  ".join(
            f"{cell:>{width}}" if column in right else f"{cell:<{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _row(p: Partition) -> tuple[str, ...]:
    contents = f"{p.filesystem} file system" if p.filesystem else "GRUB core image"
    return (
        str(p.number),
        p.name,
        _TYPES[p.role],
        format_size(p.start_bytes),
        format_size(p.size_bytes),
        contents,
    )
