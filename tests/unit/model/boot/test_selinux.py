import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.boot.selinux import parse_policy_types
from tests.refusals import refused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("# SELINUXTYPE=../x\nSELINUX=enforcing\nSELINUXTYPE= targeted \n", ("targeted",)),
        ("SELINUXTYPE=a.b\r\nSELINUXTYPE=c-d_1", ("a.b", "c-d_1")),
        (" SELINUXTYPE=/not/read\n", ()),
    ],
)
def test_parse_policy_types(text: str, expected: tuple[str, ...]) -> None:
    assert parse_policy_types(text) == expected


@pytest.mark.parametrize("name", ["", "..", ".", "../../host", "/etc", "a/b", "a\x00b", "x y"])
def test_parse_policy_types_refuses_other_places(name: str) -> None:
    with refused(
        ImageContentError,
        "sets SELINUXTYPE to '",
        hint="set SELINUXTYPE to the name of a directory in /etc/selinux",
    ):
        parse_policy_types(f"SELINUXTYPE=good\nSELINUXTYPE={name}\n")
