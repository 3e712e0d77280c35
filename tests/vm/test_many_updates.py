"""One update after the other: nothing piles up, neither without a reboot between them nor with."""

from dataclasses import dataclass

import pytest

from bootcpy.model.image.reference import escape_ref
from tests.layers import file, noise, sha256, tar
from tests.vm.conftest import Resume
from tests.vm.derived_images import derive
from tests.vm.updates import digests, push, trust
from tools import image, steps
from tools.guest import Guest
from tools.registry import Registry

_BASE, _NAME = "os:below-many", "os:many"
_LAYER_BYTES = 1 << 20
_UPDATES = 20
_PATIENCE_S = 300
# Only what updates change: the journal and others write to /var as they like. Directories
# count for nothing, because they stay as large as they ever were.
_FACTS = """\
cd /sysroot/ostree
find . -path './deploy/*/var' -prune -o -type f -printf '%i %b\\n' | sort --unique |
  awk '{ blocks += $2 } END { printf "%d\\n", blocks * 512 }'
find repo/objects -type f | wc -l
echo $(ostree refs --repo=repo)
echo $(ls -d deploy/*/deploy/*.[0-9] /boot/ostree/*)
echo $(find repo/tmp -mindepth 1 -not -name '*lock' -not -name cache)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What there is of everything that could pile up."""

    used_bytes: int
    objects: int
    refs: frozenset[str]
    directories: frozenset[str]  # of deployments and of kernels
    scratch: frozenset[str]


@pytest.mark.slow
@pytest.mark.soak
def test_many_updates_in_a_row(
    built_image: image.BuiltImage, registry: Registry, resume: Resume
) -> None:
    push(built_image, registry, _BASE)
    with resume() as guest:
        trust(guest, registry)
        _publish(registry, 1)
        guest.run(f"bootc switch --quiet {registry.from_guest(_NAME)}", timeout_s=_PATIENCE_S)
        update = _update(guest, registry, 2)
        assert digests(guest) == {"staged": update, "booted": built_image.digest, "rollback": None}
        second, second_digest = _facts(guest), update
        assert second.scratch == frozenset()

        for number in range(3, _UPDATES + 1):
            update = _update(guest, registry, number)
        assert digests(guest) == {"staged": update, "booted": built_image.digest, "rollback": None}
        last = _facts(guest)
        # The last has taken the place of the second, which left nothing.
        assert second.refs - last.refs == _refs(2, second_digest)
        assert last.refs - second.refs == _refs(_UPDATES, update)
        assert len(last.directories) == len(second.directories)
        assert last.scratch == frozenset()
        assert last.objects == second.objects
        assert abs(last.used_bytes - second.used_bytes) < _LAYER_BYTES

        guest.reboot()
        assert digests(guest) == {"staged": None, "booted": update, "rollback": built_image.digest}
        guest.wait_until_running()
        assert guest.run("cat /usr/lib/update-number").stdout == f"{_UPDATES}\n"
        assert _facts(guest).scratch == frozenset()
        guest.poweroff()


def _layer(number: int) -> bytes:
    return tar(
        file("usr/lib/update-number", f"{number}\n".encode()),
        file("usr/lib/update-noise", noise(number, _LAYER_BYTES)),
    )


def _refs(number: int, digest: str) -> set[str]:
    """Return the refs that an update has to itself; its layer is not compressed."""
    layer = escape_ref(sha256(_layer(number)))
    return {
        f"ostree/container/blob/{layer}",
        f"bootcpy/layer/tree/{layer}",
        f"bootcpy/image/{escape_ref(digest)}",
    }


def _publish(registry: Registry, number: int) -> str:
    return derive(registry, _BASE, _NAME, [_layer(number)])


def _update(guest: Guest, registry: Registry, number: int) -> str:
    """Publish an update, have the guest stage it, and return its digest."""
    with steps.step(f"Update {number}"):
        digest = _publish(registry, number)
        guest.run("bootc upgrade --quiet", timeout_s=_PATIENCE_S)
    return digest


def _facts(guest: Guest) -> _Facts:
    used, objects, *lists = guest.run(_FACTS).stdout.splitlines()
    refs, directories, scratch = (frozenset(line.split()) for line in lists)
    return _Facts(
        used_bytes=int(used),
        objects=int(objects),
        refs=refs,
        directories=directories,
        scratch=scratch,
    )
