"""What reads the host's own files, and what its tools say."""

from contextlib import suppress

from bootcpy.errors import UsageError
from bootcpy.model.base.size import parse_size
from bootcpy.model.boot.owned_kargs import parse_options
from bootcpy.model.host.edited_spec import parse_edited_spec
from bootcpy.model.host.fstab import with_read_only_root
from bootcpy.model.host.origin import Origin, render_origin
from bootcpy.model.host.staged_record import StagedRecord, judge_arrival
from bootcpy.model.install.disk_contents import describe_contents, parse_signatures
from bootcpy.model.install.partition_table import parse_table
from bootcpy.model.install.tmpfiles import root_ssh_tmpfiles
from bootcpy.system.files.mount import parse_mountinfo
from tools.fuzz.target import Target


def origin(content: bytes) -> None:
    """Read an origin file; what is written of it must be read back the same."""
    found = Origin.parse(content.decode(errors="replace"), name="x.origin")
    if found.image is not None:
        again = Origin.parse(render_origin(found.image), name="x.origin")
        assert again.image == found.image  # noqa: S101 - what is fuzzed


def edited_spec(content: bytes) -> None:
    """Read what an administrator edited."""
    parse_edited_spec(content.decode(errors="replace"), name="edited.yaml")


def fstab(content: bytes) -> None:
    """Change an fstab, once and for all."""
    changed = with_read_only_root(content.decode(errors="replace"))
    assert with_read_only_root(changed) == changed  # noqa: S101 - what is fuzzed


def partition_table(content: bytes) -> None:
    """Read what sfdisk says, and tell it."""
    for line in describe_contents([], parse_table(content.decode(errors="replace"))):
        assert line.isprintable()  # noqa: S101 - what is fuzzed


def signatures(content: bytes) -> None:
    """Read what wipefs says, and tell it."""
    for line in describe_contents(parse_signatures(content.decode(errors="replace")), None):
        assert line.isprintable()  # noqa: S101 - what is fuzzed


def staged_record(content: bytes) -> None:
    """Read the record of what was staged, and judge it."""
    record = StagedRecord.parse(content.decode(errors="replace"))
    judge_arrival(record, [], boot_id="b", failure=None)


def mountinfo(content: bytes) -> None:
    """Read mounts; the kernel never writes a line with too few fields."""
    with suppress(ValueError, IndexError):
        parse_mountinfo(content.decode(errors="surrogateescape"))


def words(content: bytes) -> None:
    """Read a size, options and keys of a command line."""
    text = content.decode(errors="surrogateescape")
    for read in (parse_size, parse_options, _keys):
        with suppress(UsageError):
            read(text)


def _keys(text: str) -> None:
    root_ssh_tmpfiles(text, home="/var/roothome")


TARGETS: dict[str, Target] = {
    "origin": origin,
    "edited-spec": edited_spec,
    "fstab": fstab,
    "partition-table": partition_table,
    "signatures": signatures,
    "staged-record": staged_record,
    "mountinfo": mountinfo,
    "words": words,
}
