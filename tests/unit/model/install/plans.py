"""Requests, facts and plans for tests, each with one place to change a default."""

from pathlib import Path
from typing import Any

from bootcpy.model.base.size import GIB, MIB
from bootcpy.model.image.reference import ImageReference
from bootcpy.model.install.config import InstallConfig, merge_install_config
from bootcpy.model.install.layout import DiskFacts
from bootcpy.model.install.plan import InstallPlan
from bootcpy.model.install.planning import InstallRequest, SourceImage, plan_install
from bootcpy.model.install.target import TargetState

DIGEST = "sha256:" + "0123456789abcdef" * 4
EXT4 = merge_install_config([("f.toml", '[install]\nroot-fs-type = "ext4"')], "x86_64")


def a_request(**changes: Any) -> InstallRequest:  # noqa: ANN401 - any field
    defaults: dict[str, Any] = {"device": Path("/dev/vdb"), "seed": "seed"}
    return InstallRequest(**defaults | changes)


def an_image(**changes: Any) -> SourceImage:  # noqa: ANN401 - any field
    defaults: dict[str, Any] = {
        "reference": ImageReference.parse(f"containers-storage:localhost/os:latest@{DIGEST}"),
        "name": "localhost/os:latest",
        "manifest_digest": DIGEST,
        "version": "13.1",
        "layers": 2,
        "unpacked_bytes": 900 * MIB,
        "kargs": ("image=1",),
    }
    return SourceImage(**defaults | changes)


def a_plan(
    request: InstallRequest | None = None,
    *,
    config: InstallConfig = EXT4,
    state: TargetState | None = None,
    image: SourceImage | None = None,
    machine: str = "x86_64",
    authorized_keys: str | None = None,
) -> InstallPlan:
    return plan_install(
        request or a_request(),
        config=config,
        state=state or TargetState(disk=DiskFacts(path="/dev/vdb", size_bytes=10 * GIB)),
        image=image or an_image(),
        machine=machine,
        authorized_keys=authorized_keys,
        source_date_epoch=1700000000,
    )
