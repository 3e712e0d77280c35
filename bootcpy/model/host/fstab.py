"""fstab(5) as anaconda writes it, and what has to change in it on a read-only root."""

import re

# The first three fields of the root file system's line, its options, and the rest.
_ROOT = re.compile(
    r"^(?P<before>[ \t]*[^\s#]\S*[ \t]+/[ \t]+\S+[ \t]+)(?P<options>\S+)(?P<after>.*)$",
    re.MULTILINE,
)

_STAMP = "Updated by bootc-fstab-edit.service"


def with_read_only_root(text: str) -> str:
    """Return the table with `ro` among the options of the root, marked as changed.

    As bootc's fixup_etc_fstab; a table without a root, or with a read-only one, stays as it is.
    """
    root = _ROOT.search(text)
    if root is None or "ro" in root["options"].split(","):
        return text
    line = f"# {_STAMP}\n{root['before']}{root['options']},ro{root['after']}"
    return f"{text[: root.start()]}{line}{text[root.end() :]}"
