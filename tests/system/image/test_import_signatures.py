"""Embedded commits that a remote has to have signed: real GnuPG keys."""

from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.image.reference import OstreeRemote
from tests.layers import bootable_tree
from tests.refusals import refused
from tests.system.support.encapsulate import Commit, Encapsulation, labels
from tests.system.support.gnupg import NAMES, fingerprint, gpg, make_keys
from tests.system.support.oci_images import LayerBlob, OciDirectory
from tests.system.support.pulls import ostree, pull, refs


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GnuPG home with the keys of signer and stranger, each exported to NAME.asc."""
    home = tmp_path_factory.mktemp("gnupg")
    make_keys(home, "ed25519")
    for name in NAMES:
        gpg(home, "--armor", "--output", str(home / f"{name}.asc"), "--export", name)
    return home


def _trust(repo_path: Path, key: Path) -> OstreeRemote:
    add = ("remote", "add", f"--gpg-import={key}", "vendor", "https://ostree.example.org")
    ostree(repo_path, *add)
    return OstreeRemote("vendor")


def _sign(embedded: Encapsulation, keys: Path) -> None:
    embedded.repo.sign_commit(embedded.commit, fingerprint(keys, "signer"), str(keys), None)


def test_a_signed_commit_satisfies_its_remote(
    repo_path: Path, oci: OciDirectory, commit: Commit, keys: Path
) -> None:
    embedded = commit()
    _sign(embedded, keys)
    layers = embedded.layers()
    image = oci.add_image(layers, labels=labels(layers))
    merged = pull(repo_path, image, signature=_trust(repo_path, keys / "signer.asc"))
    assert ostree(repo_path, "rev-parse", f"{merged}^").strip() == embedded.commit
    assert "Good signature" in ostree(
        repo_path, "show", "--gpg-verify-remote=vendor", embedded.commit
    )


@pytest.mark.parametrize(
    ("signed", "trusted", "message"),
    [
        (False, "signer", "is not signed"),
        (True, "stranger", "has no signature that the remote vendor requires"),
    ],
    ids=["unsigned", "signed by a stranger"],
)
def test_a_commit_its_remote_does_not_accept_is_refused(
    repo_path: Path,
    oci: OciDirectory,
    commit: Commit,
    keys: Path,
    *,
    signed: bool,
    trusted: str,
    message: str,
) -> None:
    embedded = commit()
    if signed:
        _sign(embedded, keys)
    layers = embedded.layers(chunks=0)
    image = oci.add_image(layers, labels=labels(layers))
    remote = _trust(repo_path, keys / f"{trusted}.asc")
    hint = "check the remote's configuration and keys: ostree remote show-url vendor"
    with refused(ImageContentError, message, hint=hint):
        pull(repo_path, image, signature=remote)
    assert refs(repo_path) == {}
    assert not list((repo_path / "objects").glob("*/*"))
    # What was taken without a question is asked when the question comes.
    pull(repo_path, image)
    with refused(ImageContentError, message, hint=hint):
        pull(repo_path, image, signature=remote)


def test_a_remote_cannot_vouch_for_an_image_without_a_commit(
    repo_path: Path, oci: OciDirectory
) -> None:
    image = oci.add_image([LayerBlob.of(*bootable_tree())])
    hint = "verify it by policy.json instead: ostree-image-signed:"
    with refused(ImageContentError, "no embedded ostree commit that the remote vendor", hint=hint):
        pull(repo_path, image, signature=OstreeRemote("vendor"))
