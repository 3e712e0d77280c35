"""The units and the like that bootc itself needs in an image: which there are, and where.

Their texts are the package's data: below bootcpy/data as they are below `/`.
"""

from dataclasses import dataclass

SYSTEM_UNITS = "usr/lib/systemd/system"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedFile:
    """A file of the package's data; `path` is below that, and relative to `/` in an image."""

    path: str
    purpose: str
    unmarked_sha256: str  # of the only text it had in images before it began with our mark
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedLink:
    """A symbolic link, which a wheel cannot hold; it is what enables a unit."""

    path: str
    target: str
    purpose: str


_UPDATES = "updates without being asked, once the timer is enabled"
_STATUS = "tells other units when the status has changed"

SHIPPED = (
    ShippedFile(
        path="usr/lib/systemd/system-generators/bootc-systemd-generator",
        purpose="enables what follows where ostree booted the system",
        unmarked_sha256="860e02042e6aceab50f954bc7e608d264a99a8291986880223be2edbb3e7595e",
        mode=0o755,
    ),
    ShippedFile(
        path="usr/lib/systemd/system-preset/80-bootc.preset",
        purpose="when to reboot into an update is the administrator's decision",
        unmarked_sha256="eefcd129479a5eba5be73c7126a6812ecfb34d0c01f38614810049f5d4294690",
    ),
    ShippedFile(
        path=f"{SYSTEM_UNITS}/bootc-boot-check.service",
        purpose="notices an update that did not arrive",
        unmarked_sha256="b1d26a9dc9b56575cff434137b866a42f238deb71ce92f70fce60f28164f40da",
    ),
    ShippedFile(
        path=f"{SYSTEM_UNITS}/bootc-fetch-apply-updates.service",
        purpose=_UPDATES,
        unmarked_sha256="f555eccb5977d11a79271e86ea53b2655f59312c96ab43f00193aafa9686b7b3",
    ),
    ShippedFile(
        path=f"{SYSTEM_UNITS}/bootc-fetch-apply-updates.timer",
        purpose=_UPDATES,
        unmarked_sha256="e02ad34cccce8f1da5ad438969661468fb531cfa2a81a470a56515ecc0641065",
    ),
    ShippedFile(
        path=f"{SYSTEM_UNITS}/bootc-fstab-edit.service",
        purpose="corrects an /etc/fstab of Anaconda's",
        unmarked_sha256="bcd29d6a03afd6285cb4c7596c3cfa8c466d3b23697c6eb0fd6eb1bb81c569aa",
    ),
    ShippedFile(
        path=f"{SYSTEM_UNITS}/bootc-publish-motd.service",
        purpose="tells who logs in what is staged",
        unmarked_sha256="23186525a79ffc66651afde779754242fc51a88f974fd27be7b627782b368590",
    ),
    ShippedFile(
        path=f"{SYSTEM_UNITS}/bootc-status-updated-onboot.target",
        purpose=_STATUS,
        unmarked_sha256="e34abdcae70390995123b74c4a52d7cfd967b01d20177e0ba6a81a2745d723a4",
    ),
    ShippedFile(
        path=f"{SYSTEM_UNITS}/bootc-status-updated.path",
        purpose=_STATUS,
        unmarked_sha256="c495922a38048b30993f1e1f2427fe2dabf62080c693022eeb63c2a0975389b9",
    ),
    ShippedFile(
        path=f"{SYSTEM_UNITS}/bootc-status-updated.target",
        purpose=_STATUS,
        unmarked_sha256="975f7bbb6cb913385df7ab4c42490a66d02bade4ed3ac3ccaf2e2643bfaf0ee0",
    ),
    ShippedFile(
        path="usr/lib/tmpfiles.d/bootc.conf",
        purpose="keeps libostree's reason why an update was not finished",
        unmarked_sha256="fbaaa3847333809a6d8d4998a5e883e3a5e1440de1571302e14dd1adbd2a6a13",
    ),
)
LINKS = (
    ShippedLink(
        path=f"{SYSTEM_UNITS}/multi-user.target.wants/bootc-boot-check.service",
        target="../bootc-boot-check.service",
        purpose="at each boot",
    ),
    ShippedLink(
        path=f"{SYSTEM_UNITS}/bootc-status-updated.target.wants/bootc-publish-motd.service",
        target="../bootc-publish-motd.service",
        purpose="whenever the status has changed",
    ),
)
