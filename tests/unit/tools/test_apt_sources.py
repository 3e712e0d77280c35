from pathlib import Path

import pytest

from bootcpy.errors import BootcpyError
from tools.apt_sources import Source, of_suite, parse_deb822, parse_lines, read_sources

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DEB822 = f"""\
Types: deb deb-src
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: {KEYRING}

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
Enabled: yes

Types: deb
Enabled: no
URIs: http://elsewhere.example/debian
Suites: trixie
Components: main

Types: deb
URIs: http://keyed.example/
Suites: stable
Components: extra
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----
"""
LINES = f"""\
# deb http://commented.example/debian trixie main
deb [arch=amd64 signed-by={KEYRING}] http://mirror.example/debian trixie main contrib # why
deb-src http://mirror.example/debian trixie main
deb cdrom:
"""
ARCHIVE = Source(
    uri="http://mirror.example/debian",
    suites=("bookworm", "bookworm-updates"),
    components=("main", "contrib"),
    signed_by=KEYRING,
)
SECURITY = Source(
    uri="http://mirror.example/security", suites=("bookworm-security",), components=("main",)
)
OTHER = Source(uri="http://keyed.example/", suites=("stable",), components=("extra",))


def test_parse_deb822() -> None:
    assert parse_deb822(DEB822) == (ARCHIVE, SECURITY, OTHER)


def test_parse_lines() -> None:
    assert parse_lines(LINES) == (
        Source(
            uri="http://mirror.example/debian",
            suites=("trixie",),
            components=("main", "contrib"),
            signed_by=KEYRING,
        ),
    )


def test_of_suite_takes_the_hosts_places_for_the_suite() -> None:
    assert of_suite([OTHER, ARCHIVE, SECURITY], "trixie") == (
        f"deb [signed-by={KEYRING}] http://mirror.example/debian trixie main",
        f"deb [signed-by={KEYRING}] http://mirror.example/debian trixie-updates main",
        f"deb [signed-by={KEYRING}] http://mirror.example/security trixie-security main",
    )


def test_of_suite_is_content_with_the_archive_alone() -> None:
    source = Source(uri="http://m.example/d", suites=("sid",), components=("main",))
    assert of_suite([source], "trixie") == (
        f"deb [signed-by={KEYRING}] http://m.example/d trixie main",
    )


def test_of_suite_refuses_without_a_debian_archive() -> None:
    with pytest.raises(BootcpyError, match="no Debian archive") as raised:
        of_suite([OTHER], "trixie")
    assert "--base" in (raised.value.hint or "")


def test_read_sources_reads_both_formats_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(LINES, encoding="utf-8")
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822, encoding="utf-8")
    (tmp_path / "sources.list.d/old.list.save").write_text(LINES, encoding="utf-8")
    found = read_sources(tmp_path)
    assert [source.uri for source in found] == [
        "http://mirror.example/debian",
        "http://mirror.example/debian",
        "http://mirror.example/security",
        "http://keyed.example/",
    ]
