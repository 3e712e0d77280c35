"""The options of `upgrade`, `switch` and `rollback` that decide what happens."""

import re
from dataclasses import dataclass
from enum import StrEnum

from bootcpy.errors import UsageError

# As in the OCI distribution specification.
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class SoftReboot(StrEnum):
    """Whether a soft reboot is to be prepared, and whether it is an error if none is possible."""

    REQUIRED = "required"
    AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeOptions:
    """The options of `bootc upgrade` that decide what happens."""

    check: bool = False
    apply: bool = False
    download_only: bool = False
    from_downloaded: bool = False
    tag: str | None = None
    soft_reboot: SoftReboot | None = None


def check_options(options: UpgradeOptions) -> None:
    """Refuse options that contradict each other, and what cannot be a tag.

    Raises:
        UsageError: naming the first two that do, or the tag.
    """
    given = {
        "--check": options.check,
        "--apply": options.apply,
        "--soft-reboot": options.soft_reboot is not None,
        "--download-only": options.download_only,
        "--from-downloaded": options.from_downloaded,
        "--soft-reboot=required": options.soft_reboot is SoftReboot.REQUIRED,
    }
    conflicts = (
        ("--check", "--apply"),
        ("--check", "--soft-reboot"),
        ("--check", "--download-only"),
        ("--check", "--from-downloaded"),
        ("--download-only", "--apply"),
        ("--download-only", "--from-downloaded"),
        # bootc would enter what is held back.
        ("--download-only", "--soft-reboot=required"),
    )
    for first, second in conflicts:
        if given[first] and given[second]:
            raise UsageError(
                f"the argument '{first}' cannot be used with '{second}'",
                hint="leave one of them out",
            )
    if options.tag is not None and not _TAG.fullmatch(options.tag):
        raise UsageError(
            f"--tag {options.tag!r} is not a tag",
            hint="give only the part after the colon, such as `--tag=stable`",
        )
