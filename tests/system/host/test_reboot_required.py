"""/run/reboot-required tells of what boots next and does not run yet, and of nothing else."""

from pathlib import Path

from tests.system.support.booted_host import BootedHost
from tests.system.support.installed_host import answer, digests
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER


def _required(host: BootedHost) -> str | None:
    file = host.run_directory / "reboot-required"
    return file.read_text(encoding="utf-8") if file.exists() else None


def _for(digest: str | None) -> str:
    return f"bootc: Reboot required for image: {digest}\n"


def test_an_update_asks_unless_it_is_held_back(host: BootedHost, layout: Path) -> None:
    second = write_image(layout, [BASE, {"usr/new": "x"}], version="2")
    answer(host, "upgrade", "--download-only")
    assert _required(host) is None
    answer(host, "upgrade", "--from-downloaded")
    assert _required(host) == _for(second)
    answer(host, "upgrade", "--download-only")
    assert _required(host) is None
    answer(host, "upgrade")
    assert _required(host) == _for(second)
    third = write_image(layout, [BASE, {"usr/new": "y"}], version="3")
    answer(host, "upgrade", "--download-only")
    assert digests(host)["staged"] == third
    assert _required(host) is None


def test_a_rollback_asks_until_it_is_taken_back(host: BootedHost, layout: Path) -> None:
    first = digests(host)["booted"]
    write_image(layout, [BASE, {"usr/new": "x"}], version="2")
    answer(host, "upgrade")
    host.reboot()
    answer(host, "rollback")
    assert _required(host) == _for(first)
    answer(host, "rollback")
    assert _required(host) is None
    answer(host, "rollback")
    switched = answer(host, "switch", "--transport=oci", str(layout))
    assert switched[-1] == "Next boot: current deployment"
    assert _required(host) is None


def test_what_others_ask_for_stays(host: BootedHost, layout: Path) -> None:
    file = host.run_directory / "reboot-required"
    file.write_text("*** System restart required ***\n", encoding="utf-8")
    write_image(layout, [BASE, {"usr/new": "x"}], version="2")
    answer(host, "upgrade", "--download-only")
    assert _required(host) == "*** System restart required ***\n"
