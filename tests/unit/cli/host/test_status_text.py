import json
from dataclasses import replace

import pytest

from bootcpy.cli.host.status_text import render_host
from bootcpy.model.host.deployments import Deployment, ImageRecord, Unlocked
from bootcpy.model.host.status import host_from_state
from tests.unit.model.host.states import DIGEST_1, DIGEST_2, DIGEST_3, deployment, record, state

_LABELS = {"version": "13.1", "org.opencontainers.image.created": "2026-10-14T19:22:15.42Z"}
_BOOTED = deployment("bb", index=1, booted=True)
_VERSIONED = replace(_BOOTED, image=record(labels=_LABELS))
_STAGED = replace(deployment("aa", staged=True, digest=DIGEST_2), finalization_locked=True)
_ROLLBACK = deployment("cc", index=2, digest=DIGEST_3)
_PLAIN = deployment("bb", index=1, booted=True, image=None, digest=None)


def _update(image: ImageRecord) -> Deployment:
    return replace(_VERSIONED, cached_update=image)


_GOLDEN = {
    "nothing deployed": ((), "System is not deployed via bootc.\n"),
    "nothing booted": ((_ROLLBACK,), "System is not deployed via bootc.\n"),
    "staged, booted and rollback": (
        (_STAGED, _VERSIONED, _ROLLBACK),
        f"""\
  Staged image: quay.io/example/os:latest
        Digest: {DIGEST_2} (amd64)

● Booted image: quay.io/example/os:latest
        Digest: {DIGEST_1} (amd64)
       Version: 13.1 (2026-10-14T19:22:15Z)

  Rollback image: quay.io/example/os:latest
          Digest: {DIGEST_3} (amd64)
""",
    ),
    "version without a time": (
        (replace(_BOOTED, image=record(labels={"version": "13.1"})),),
        f"""\
● Booted image: quay.io/example/os:latest
        Digest: {DIGEST_1} (amd64)
       Version: 13.1
""",
    ),
    "time without a version": (
        (replace(_BOOTED, image=record(created="2026-10-14T19:22:15Z")),),
        f"""\
● Booted image: quay.io/example/os:latest
        Digest: {DIGEST_1} (amd64)
     Timestamp: 2026-10-14T19:22:15Z
""",
    ),
    "labels of somebody who means ill": (
        (
            _update(
                record(DIGEST_2, labels={**_LABELS, "version": "\x9b1A\u2028\u202e" + 90 * "x"}),
            ),
            replace(
                _ROLLBACK,
                image=replace(
                    record(labels={"version": "1\n\n● Booted image: good\x1b[8m"}),
                    config_text=json.dumps({
                        "architecture": "amd64)\n Version: 2\r",
                        "config": {"Labels": {"version": "1\n\n● Booted image: good\x1b[8m"}},
                    }),
                ),
            ),
        ),
        f"""\
● Booted image: quay.io/example/os:latest
        Digest: {DIGEST_1} (amd64)
       Version: 13.1 (2026-10-14T19:22:15Z)
 UpdateVersion: \\x9b1A\\u2028\\u202e{45 * "x"}… (2026-10-14T19:22:15Z)
  UpdateDigest: {DIGEST_2}

  Rollback image: quay.io/example/os:latest
          Digest: {DIGEST_1} (amd64)\\n Version: 2\\r)
         Version: 1\\n\\n● Booted image: good\\x1b[8m
""",
    ),
    "another transport": (
        (deployment(booted=True, image="ostree-unverified-image:oci:/mnt/os"),),
        f"""\
● Booted image: oci:/mnt/os
        Digest: {DIGEST_1} (amd64)
""",
    ),
    "pinned": (
        (replace(_BOOTED, pinned=True), _ROLLBACK, replace(_ROLLBACK, index=3, pinned=True)),
        f"""\
● Booted image: quay.io/example/os:latest
        Digest: {DIGEST_1} (amd64)
        Pinned: yes

  Rollback image: quay.io/example/os:latest
          Digest: {DIGEST_3} (amd64)

   Other image: quay.io/example/os:latest
        Digest: {DIGEST_3} (amd64)
        Pinned: yes
""",
    ),
    "an update with a version": (
        (_update(record(DIGEST_2, labels={**_LABELS, "version": "13.2"})),),
        f"""\
● Booted image: quay.io/example/os:latest
        Digest: {DIGEST_1} (amd64)
       Version: 13.1 (2026-10-14T19:22:15Z)
 UpdateVersion: 13.2 (2026-10-14T19:22:15Z)
  UpdateDigest: {DIGEST_2}
""",
    ),
    "an update without a version": (
        (_update(record(DIGEST_2)),),
        f"""\
● Booted image: quay.io/example/os:latest
        Digest: {DIGEST_1} (amd64)
       Version: 13.1 (2026-10-14T19:22:15Z)
        Update: Available
  UpdateDigest: {DIGEST_2}
""",
    ),
    "an update that is already booted": (
        (_update(record(DIGEST_1, labels={"version": "13.1"})),),
        f"""\
● Booted image: quay.io/example/os:latest
        Digest: {DIGEST_1} (amd64)
       Version: 13.1 (2026-10-14T19:22:15Z)
""",
    ),
    "an overlay on /usr": (
        (_STAGED, replace(_BOOTED, unlocked=Unlocked.DEVELOPMENT)),
        f"""\
  Staged image: quay.io/example/os:latest
        Digest: {DIGEST_2} (amd64)

● Booted image: quay.io/example/os:latest
        Digest: {DIGEST_1} (amd64)
  /usr overlay: transient, read/write
""",
    ),
    "plain ostree everywhere": (
        tuple(
            replace(d, image=None, pinned=d.booted)
            for d in (_STAGED, _BOOTED, _ROLLBACK, replace(_ROLLBACK, checksum="dd"))
        ),
        """\
  Staged ostree
         Commit: aa

● Booted ostree
           Commit: bb
           Pinned: yes

  Rollback ostree
           Commit: cc

 Other ostree
       Commit: dd
""",
    ),
}

_VERBOSE = {
    "images": (
        (
            _STAGED,
            deployment(
                "bb",
                index=1,
                booted=True,
                image="ostree-image-signed:docker://quay.io/example/os",
                unlocked=Unlocked.TRANSIENT,
            ),
            deployment(
                "cc",
                index=2,
                serial=4,
                soft_reboot_capable=True,
                image="ostree-remote-image:debian:docker://quay.io/example/os",
            ),
        ),
        f"""\
  Staged image: quay.io/example/os:latest
        Digest: {DIGEST_2} (amd64)
     StateRoot: default
 Deploy serial: 0
        Staged: yes
        Commit: aa
   Soft-reboot: no
 Download-only: yes

● Booted image: quay.io/example/os
        Digest: {DIGEST_1} (amd64)
  /usr overlay: transient, read-only
     StateRoot: default
 Deploy serial: 0
        Staged: no
        Commit: bb
     Signature: container-policy
   Soft-reboot: no

  Rollback image: quay.io/example/os
          Digest: {DIGEST_1} (amd64)
       StateRoot: default
   Deploy serial: 4
          Staged: no
          Commit: cc
       Signature: ostree-remote:debian
     Soft-reboot: yes
""",
    ),
    "plain ostree": (
        (_PLAIN,),
        """\
● Booted ostree
           Commit: bb
        StateRoot: default
    Deploy serial: 0
           Staged: no
      Soft-reboot: no
""",
    ),
}


@pytest.mark.parametrize(("deployments", "text"), _GOLDEN.values(), ids=_GOLDEN.keys())
def test_render_host(deployments: tuple[Deployment, ...], text: str) -> None:
    assert render_host(host_from_state(state(*deployments)), verbose=False) == text


@pytest.mark.parametrize(("deployments", "text"), _VERBOSE.values(), ids=_VERBOSE.keys())
def test_render_host_verbose(deployments: tuple[Deployment, ...], text: str) -> None:
    assert render_host(host_from_state(state(*deployments)), verbose=True) == text


def test_render_host_verbose_says_what_accepted_an_image() -> None:
    host = host_from_state(state(_BOOTED, _ROLLBACK))
    words = "signedBy (/etc/pki/os.gpg\x1b) for docker quay.io in /etc/containers/policy.json"
    text = render_host(host, verbose=True, accepted={"bb": words})
    assert text.count("Accepted") == 1
    assert (
        "        Commit: bb\n"
        "      Accepted: signedBy (/etc/pki/os.gpg\\x1b) for docker quay.io in "
        "/etc/containers/policy.json\n"
    ) in text
    assert "Accepted" not in render_host(host, verbose=False, accepted={"bb": words})
