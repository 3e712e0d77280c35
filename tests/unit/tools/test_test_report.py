from pathlib import Path

from tools.test_report import Result, described, read_results

REPORT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" tests="4">
<testcase classname="tests.vm.test_update" name="test_update" time="271.5" />
<testcase classname="tests.vm.test_usb" name="test_usb[ext4]" time="3.25">
<failure message="AssertionError: assert 1 == 2">def test_usb():
E       assert 1 == 2</failure></testcase>
<testcase classname="tests.vm.test_usb" name="test_setup" time="0.5">
<error message="failed on setup">no such disk</error></testcase>
<testcase classname="tests.vm.test_kvm" name="test_kvm" time="0">
<skipped message="no /dev/kvm" /></testcase>
</testsuite></testsuites>"""

RESULTS = [
    Result("vm", "tests.vm.test_update::test_update", 271.5),
    Result(
        "vm",
        "tests.vm.test_usb::test_usb[ext4]",
        3.25,
        failure="def test_usb():\nE       assert 1 == 2",
    ),
    Result("vm", "tests.vm.test_usb::test_setup", 0.5, failure="no such disk"),
    Result("vm", "tests.vm.test_kvm::test_kvm", 0.0, skipped="no /dev/kvm"),
]


def test_results_are_read_by_suite(tmp_path: Path) -> None:
    (tmp_path / "vm.xml").write_text(REPORT, encoding="utf-8")

    assert read_results([tmp_path / "vm.xml"]) == RESULTS


def test_report_ends_with_what_failed() -> None:
    assert described(RESULTS) == [
        "vm: 4 tests, 2 failed, 1 skipped, 275 s",
        "the slowest:",
        "  271.5 s  tests.vm.test_update::test_update",
        "    3.2 s  tests.vm.test_usb::test_usb[ext4]",
        "    0.5 s  tests.vm.test_usb::test_setup",
        "    0.0 s  tests.vm.test_kvm::test_kvm",
        "skipped  tests.vm.test_kvm::test_kvm: no /dev/kvm",
        "FAILED   tests.vm.test_usb::test_usb[ext4]",
        "    def test_usb():",
        "    E       assert 1 == 2",
        "FAILED   tests.vm.test_usb::test_setup",
        "    no such disk",
    ]


def test_nothing_to_report_is_no_error() -> None:
    assert described([]) == []
