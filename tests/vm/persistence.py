"""What of a machine outlives an upgrade and a rollback: a table, and one question for all of it.

A deployment's /etc has the machine's changes of the time when it was made; /var is shared by all
deployments. So what is done before an upgrade is there in the new system and, after a rollback,
in the old one; what is done after it is not in the /etc of the old one.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from tools.guest import Guest

_MARK = "=== "
_ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Something done on a machine, a question about it, and the answers to be had."""

    do: str = "true"
    ask: str
    # In the system before the upgrade and after the rollback, and in the one between. One of
    # them stands for both.
    old: str | None = None
    new: str | None = None
    # Where nobody knows the answer: what it must look like, and it must not change.
    form: str | None = None

    def __post_init__(self) -> None:
        """See that the row can fail."""
        assert bool(self.old or self.new) != bool(self.form), self.ask

    def kept(self, answer: str) -> str:
        """Return the answer that the machine gave at first, which is one."""
        assert re.fullmatch(self.form or "", answer), f"{self.ask}: {answer!r}"
        return answer


def _text(path: str) -> str:
    return f"cat {path} 2>/dev/null || echo {_ABSENT}"


_VOLUME = "/var/lib/containers/storage/volumes/data/_data/probe"
_UNIT = (
    r"[Service]\nType=oneshot\nExecStart=true\nRemainAfterExit=yes\n"
    r"[Install]\nWantedBy=multi-user.target\n"
)

# Done before the upgrade, which changes /etc/issue, /etc/issue.net and /etc/skel/.profile.
BEFORE = {
    "/var": Row(do="echo mine > /var/lib/probe", ask=_text("/var/lib/probe"), old="mine"),
    "/srv": Row(do="echo mine > /srv/probe", ask=_text("/srv/probe"), old="mine"),
    "root's home": Row(do="echo mine > /root/probe", ask=_text("/root/probe"), old="mine"),
    "a user": Row(
        do="useradd --create-home --shell /bin/bash anna; echo anna:sesame | chpasswd",
        ask="getent passwd anna | cut -d: -f 6-; passwd --status anna | cut -c -6",
        old="/home/anna:/bin/bash\nanna P",
    ),
    "a user's home": Row(
        do="su - anna -c 'echo mine > probe'",
        ask="su - anna -c 'id -un; cat probe'",
        old="anna\nmine",
    ),
    "podman's images": Row(
        do="tar -c -C /var/lib probe | podman import --quiet - localhost/probe",
        ask="podman images --format '{{.Repository}}'",
        old="localhost/probe",
    ),
    "podman's volumes": Row(
        do=f"podman volume create data; echo mine > {_VOLUME}",
        ask=f"podman volume ls --quiet; cat {_VOLUME}",
        old="data\nmine",
    ),
    "the journal": Row(
        do="logger --tag probe mine; journalctl --sync",
        ask="journalctl --quiet --output=cat --identifier=probe",
        old="mine",
    ),
    "/etc, added": Row(do="echo mine > /etc/added", ask=_text("/etc/added"), old="mine"),
    "/etc, a directory added": Row(
        do="install -D -m 600 /etc/added /etc/own.d/x", ask="stat -c %a /etc/own.d/x", old="600"
    ),
    "/etc, a link added": Row(
        do="ln -s /srv/probe /etc/link", ask="readlink /etc/link", old="/srv/probe"
    ),
    "/etc, changed here and there": Row(
        do="echo mine > /etc/issue", ask=_text("/etc/issue"), old="mine"
    ),
    "/etc, changed there": Row(ask="tail -n 1 /etc/skel/.profile", old="fi", new="# version 2"),
    "/etc, a mode changed": Row(
        do="chmod 600 /etc/skel/.bashrc", ask="stat -c %a /etc/skel/.bashrc", old="600"
    ),
    "/etc, deleted here and changed there": Row(
        do="rm /etc/issue.net", ask=_text("/etc/issue.net"), old=_ABSENT
    ),
    "/etc, deleted here": Row(
        do="rm /etc/skel/.bash_logout", ask=_text("/etc/skel/.bash_logout"), old=_ABSENT
    ),
    "the hostname": Row(
        do="hostnamectl hostname keeper", ask="hostname; cat /etc/hostname", old="keeper\nkeeper"
    ),
    "the machine's identity": Row(ask="cat /etc/machine-id", form="[0-9a-f]{32}"),
    "the SSH host keys": Row(
        ask="cat /etc/ssh/ssh_host_*_key.pub", form=r"((ssh|ecdsa)-\S+ \S{60,}.*\n?)+"
    ),
    "a unit of one's own": Row(
        do=f"printf '{_UNIT}' > /etc/systemd/system/probe.service; systemctl enable --now probe",
        ask="systemctl is-enabled probe; systemctl is-active probe",
        old="enabled\nactive",
    ),
    "a shipped unit enabled": Row(
        do="systemctl enable bootc-fetch-apply-updates.timer",  # due in an hour
        ask="systemctl is-enabled bootc-fetch-apply-updates.timer",
        old="enabled",
    ),
    "a shipped unit disabled": Row(
        do="systemctl disable --now systemd-timesyncd",
        ask="systemctl is-enabled systemd-timesyncd; systemctl is-active systemd-timesyncd",
        old="disabled\ninactive",
    ),
    "a shipped unit masked": Row(
        do="systemctl mask e2scrub_all.timer",
        ask="systemctl is-enabled e2scrub_all.timer",
        old="masked",
    ),
    # Part of the image, like all of /usr; the new one ships something there.
    "/opt": Row(do="if touch /opt/probe; then exit 1; fi", ask="ls /opt | wc -l", old="0", new="1"),
}

# Done in the upgraded system.
AFTER = {
    "/var, later": Row(do="echo late > /var/lib/later", ask=_text("/var/lib/later"), new="late"),
    "/etc, added later": Row(
        do="echo late > /etc/later", ask=_text("/etc/later"), new="late", old=_ABSENT
    ),
    "/etc, changed later": Row(
        do="echo late > /etc/added", ask=_text("/etc/added"), new="late", old="mine"
    ),
    "/etc, deleted later": Row(
        do="rm /etc/link", ask="readlink /etc/link || echo gone", new="gone", old="/srv/probe"
    ),
    "a user added later": Row(
        do="useradd --create-home ben", ask="id -un ben || echo nobody", new="ben", old="nobody"
    ),
    "the home of a user added later": Row(ask="ls /home", new="anna\nben"),
    "the hostname, later": Row(
        do="hostnamectl hostname later", ask="hostname", new="later", old="keeper"
    ),
}


def do(guest: Guest, rows: Mapping[str, Row]) -> None:
    """Do in the guest what `rows` say.

    Raises:
        GuestError: something failed.
    """
    guest.run("set -eux\n" + "\n".join(row.do for row in rows.values()), timeout_s=120)


def answers(guest: Guest, rows: Mapping[str, Row]) -> dict[str, str]:
    """Return what the guest answers to each of `rows`."""
    # An answer may lack its last line's end.
    script = "\n".join(
        f"printf '\\n%s\\n' {shlex.quote(_MARK + name)}; {{ {row.ask}; }} 2>/dev/null"
        for name, row in rows.items()
    )
    said = guest.run(script, check=False, timeout_s=120).stdout
    parts = (part.partition("\n") for part in said.split(f"\n{_MARK}")[1:])
    return {name: answer.rstrip("\n") for name, _, answer in parts}


def expected_of_old(rows: Mapping[str, Row], first: Mapping[str, str]) -> dict[str, str]:
    """Return the answers of the system from before the upgrade; `first` are those it gave then."""
    return {name: row.old or row.new or row.kept(first[name]) for name, row in rows.items()}


def expected_of_new(rows: Mapping[str, Row], first: Mapping[str, str]) -> dict[str, str]:
    """Return the answers of the upgraded system; `first` are those of the one before."""
    return {name: row.new or row.old or row.kept(first[name]) for name, row in rows.items()}
