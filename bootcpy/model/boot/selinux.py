"""The configuration of SELinux in an image: etc/selinux/config, as libostree reads it."""

import re

from bootcpy.errors import ImageContentError
from bootcpy.model.base.toml import shown_value

_KEY = "SELINUXTYPE="
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def parse_policy_types(text: str) -> tuple[str, ...]:
    """Return the policies that the configuration names; the last one counts.

    Raises:
        ImageContentError: one of them is not the name of a directory beside the file.
    """
    lines = (line for line in text.split("\n") if line.startswith(_KEY))
    names = tuple(line.removeprefix(_KEY).strip() for line in lines)
    for name in names:
        if not _NAME.fullmatch(name):
            raise ImageContentError(
                f"/etc/selinux/config of the image sets SELINUXTYPE to {shown_value(name)}, "
                "which is not the name of a policy",
                hint="set SELINUXTYPE to the name of a directory in /etc/selinux",
            )
    return names
