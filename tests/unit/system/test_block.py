import pytest

from bootcpy.system.block import describe_signature


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        ({"type": "ext4", "label": "data"}, "ext4 data labelled 'data'"),
        ({"type": "LVM2_member", "label": None}, "LVM2_member data"),
        ({"type": "gpt"}, "a partition table"),
        ({"type": "PMBR"}, "a partition table"),
        ({"type": "dos"}, "a partition table"),
        ({"type": None}, "unknown data"),
    ],
)
def test_describe_signature(signature: dict[str, str | None], words: str) -> None:
    assert describe_signature(signature) == words
