import pytest

from bootcpy.model.host.fstab import with_read_only_root

_HEAD = "#\n# /etc/fstab\n# Created by anaconda on Tue Jan  6 2026\n#\n"
_ROOT = "UUID=6b /                       xfs     defaults        0 0\n"
_FIXED = (
    "# Updated by bootc-fstab-edit.service\n"
    "UUID=6b /                       xfs     defaults,ro        0 0\n"
)
_BOOT = "UUID=6c /boot xfs defaults 0 0\n"


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param(f"{_HEAD}{_BOOT}{_ROOT}", f"{_HEAD}{_BOOT}{_FIXED}", id="root last"),
        pytest.param(f"{_ROOT}{_BOOT}", f"{_FIXED}{_BOOT}", id="root first"),
        pytest.param(f"{_HEAD}{_FIXED}", f"{_HEAD}{_FIXED}", id="twice"),
        pytest.param("/dev/x / ext4 ro,noatime 0 1\n", "/dev/x / ext4 ro,noatime 0 1\n", id="ro"),
        pytest.param(f"#{_ROOT}{_BOOT}", f"#{_ROOT}{_BOOT}", id="commented out"),
        pytest.param(_BOOT, _BOOT, id="no root"),
        pytest.param("", "", id="empty"),
        pytest.param(f"\n\n{_ROOT}", f"\n\n{_FIXED}", id="empty lines"),
        pytest.param(
            "LABEL=r / ext4 errors=remount-ro",
            "# Updated by bootc-fstab-edit.service\nLABEL=r / ext4 errors=remount-ro,ro",
            id="another option with ro in it",
        ),
    ],
)
def test_with_read_only_root(table: str, expected: str) -> None:
    assert with_read_only_root(table) == expected
