import pytest

from bootcpy.errors import UsageError
from bootcpy.model.host.options import SoftReboot, UpgradeOptions, check_options
from tests.refusals import refused


@pytest.mark.parametrize(
    ("options", "first", "second"),
    [
        (UpgradeOptions(check=True, apply=True), "--check", "--apply"),
        (UpgradeOptions(check=True, soft_reboot=SoftReboot.AUTO), "--check", "--soft-reboot"),
        (UpgradeOptions(check=True, download_only=True), "--check", "--download-only"),
        (UpgradeOptions(check=True, from_downloaded=True), "--check", "--from-downloaded"),
        (UpgradeOptions(download_only=True, apply=True), "--download-only", "--apply"),
        (
            UpgradeOptions(download_only=True, from_downloaded=True),
            "--download-only",
            "--from-downloaded",
        ),
        (
            UpgradeOptions(download_only=True, soft_reboot=SoftReboot.REQUIRED),
            "--download-only",
            "--soft-reboot=required",
        ),
    ],
)
def test_check_options_refuses_conflicts(options: UpgradeOptions, first: str, second: str) -> None:
    with refused(UsageError, hint="leave one of them out") as caught:
        check_options(options)
    assert caught.value.message == f"the argument '{first}' cannot be used with '{second}'"


@pytest.mark.parametrize("tag", ["", "a b", "a:b", "../x", "x/y", "-x", "ä", "x" * 129])
def test_check_options_refuses_what_is_no_tag(tag: str) -> None:
    with refused(
        UsageError, hint="give only the part after the colon, such as `--tag=stable`"
    ) as caught:
        check_options(UpgradeOptions(tag=tag))
    assert caught.value.message == f"--tag {tag!r} is not a tag"


@pytest.mark.parametrize(
    "options",
    [
        UpgradeOptions(),
        UpgradeOptions(check=True, tag="2"),
        UpgradeOptions(from_downloaded=True, apply=True, soft_reboot=SoftReboot.REQUIRED),
        UpgradeOptions(download_only=True, soft_reboot=SoftReboot.AUTO),
    ],
)
def test_check_options_lets_the_rest_pass(options: UpgradeOptions) -> None:
    check_options(options)
