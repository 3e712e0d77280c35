from dataclasses import replace

import pytest

from bootcpy.model.container.var import (
    HEADER,
    Relocation,
    VarEntry,
    VarKind,
    VarPlan,
    declared_paths,
    plan_relocations,
    plan_var,
)

OWNERS = frozenset({"root", "_apt", "mail"})


def directory(path: str, mode: int = 0o755, user: str = "root", group: str = "root") -> VarEntry:
    return VarEntry(path=path, kind=VarKind.DIRECTORY, mode=mode, user=user, group=group)


def file(path: str, mode: int = 0o644) -> VarEntry:
    return VarEntry(path=path, kind=VarKind.FILE, mode=mode, user="root", group="root")


def link(path: str, target: str) -> VarEntry:
    return replace(file(path, 0o777), kind=VarKind.LINK, target=target)


def plan(
    *entries: VarEntry,
    previous: str = "",
    factory: tuple[str, ...] = (),
    declared: tuple[str, ...] = (),
) -> VarPlan:
    return plan_var(
        entries,
        previous=previous,
        factory=frozenset(factory),
        declared=frozenset(declared),
        known_owners=OWNERS,
    )


def lines(planned: VarPlan) -> list[str]:
    assert planned.tmpfiles.startswith(HEADER)
    return planned.tmpfiles.removeprefix(HEADER).splitlines()


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            directory("cache/apt/archives/partial", 0o700, "_apt"),
            "d /var/cache/apt/archives/partial 0700 _apt root -",
        ),
        (directory("mail", 0o2775, group="mail"), "d /var/mail 2775 root mail -"),
        (link("spool/mail", "../mail"), "L /var/spool/mail - - - - ../mail"),
        (file("www/index.html", 0o640), "C /var/www/index.html 0640 root root -"),
        (file("www/a b%c"), r"C /var/www/a\x20b%%c 0644 root root -"),
    ],
    ids=lambda value: value.path if isinstance(value, VarEntry) else "",
)
def test_plan_var_writes_a_line_for(entry: VarEntry, line: str) -> None:
    assert lines(plan(entry)) == [line]


@pytest.mark.parametrize(
    "path",
    [
        "log/dpkg.log",
        "cache/apt/pkgcache.bin",
        "lib/apt/lists/some_Packages",
        "lib/systemd/random-seed",
        "lib/dbus/machine-id",
        "tmp/x/y",
        "backups/dpkg.status.0",
    ],
)
def test_plan_var_drops_what_can_be_made_again_or_is_one_machines_own(path: str) -> None:
    planned = plan(file(path))
    assert (planned.removed, planned.factory, lines(planned)) == ((path,), (), [])


def test_plan_var_keeps_directories_of_logs_and_drops_those_of_caches_that_are_not_apts() -> None:
    planned = plan(
        directory("log/apt"), directory("cache/debconf/tmp.ci"), directory("lib/apt/lists/partial")
    )
    assert planned.removed == ("cache/debconf/tmp.ci",)
    assert [line.split()[1] for line in lines(planned)] == [
        "/var/lib/apt/lists/partial",
        "/var/log/apt",
    ]


def test_plan_var_makes_other_files_factory_defaults() -> None:
    assert plan(file("www/index.html"), file("log/x")).factory == ("www/index.html",)


def test_plan_var_says_nothing_about_what_other_packages_declare() -> None:
    planned = plan(directory("lib"), directory("lib/foo"), declared=("/var/lib",))
    assert lines(planned) == ["d /var/lib/foo 0755 root root -"]


def test_plan_var_run_again_changes_nothing() -> None:
    first = plan(directory("www"), file("www/index.html"), link("spool/mail", "../mail"))
    # The file is now a factory copy, the rest is still there.
    again = plan(
        directory("www"),
        link("spool/mail", "../mail"),
        previous=first.tmpfiles,
        factory=("www/index.html",),
    )
    assert again == VarPlan(tmpfiles=first.tmpfiles, factory=(), removed=())


def test_plan_var_keeps_earlier_lines_when_somebody_emptied_var() -> None:
    first = plan(directory("lib/foo"), link("spool/mail", "../mail"))
    assert plan(previous=first.tmpfiles).tmpfiles == first.tmpfiles


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("d /var/lib/foo 0755 gone root -", id="owner-removed"),
        pytest.param("C /var/lib/foo 0644 root root -", id="factory-copy-removed"),
    ],
)
def test_plan_var_forgets_earlier_lines_that_no_longer_hold(line: str) -> None:
    assert lines(plan(previous=f"{HEADER}{line}\n")) == []


def test_plan_var_prefers_what_is_there_to_an_earlier_line() -> None:
    earlier = f"{HEADER}d /var/lib/foo 0755 root root -\n"
    assert lines(plan(directory("lib/foo", 0o700), previous=earlier)) == [
        "d /var/lib/foo 0700 root root -"
    ]


def test_plan_relocations_moves_package_state_that_is_not_a_link_yet() -> None:
    entries = [
        directory("lib/dpkg"),
        file("lib/apt/extended_states"),
        link("lib/ucf", "../../usr/lib/sysimage/ucf"),
        directory("lib/postgresql"),
    ]
    assert plan_relocations(entries) == (
        Relocation(path="lib/dpkg", destination="usr/lib/sysimage/dpkg"),
        Relocation(
            path="lib/apt/extended_states", destination="usr/lib/sysimage/apt/extended_states"
        ),
    )


def test_relocation_leaves_a_relative_link() -> None:
    dpkg = Relocation(path="lib/dpkg", destination="usr/lib/sysimage/dpkg")
    assert dpkg.target == "../../usr/lib/sysimage/dpkg"


def test_declared_paths_are_those_that_are_made() -> None:
    text = """\
# comment
d /var/lib/one 0755 - - -
L+! /var/two - - - - ../two
R! /var/tmp/removed-*
z /var/only-a-mode 0700
d "/var/three/" - - -
x /var/tmp/%b
"""
    assert declared_paths([text]) == {"/var/lib/one", "/var/two", "/var/three"}
