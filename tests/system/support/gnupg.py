"""GnuPG homes with keys that sign."""

import subprocess
from pathlib import Path

NAMES = ("signer", "stranger")


def gpg(home: Path, *args: str) -> str:
    """Run gpg on the keys in `home`, and return what it printed."""
    done = subprocess.run(
        ["gpg", "--homedir", home, "--batch", "--quiet", *args],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def make_keys(home: Path, algorithm: str) -> None:
    """Make an unprotected key for each of `NAMES` in the empty directory `home`."""
    home.chmod(0o700)
    for name in NAMES:
        gpg(home, "--passphrase", "", "--quick-generate-key", name, algorithm, "sign")


def fingerprint(home: Path, name: str) -> str:
    """Return the fingerprint of a key."""
    listed = gpg(home, "--with-colons", "--list-keys", name)
    return next(line for line in listed.splitlines() if line.startswith("fpr:")).split(":")[9]
