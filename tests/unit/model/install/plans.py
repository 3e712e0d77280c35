"""Requests, facts and plans for tests, each with one place to change a default."""

from pathlib import Path
from typing import Any

from bootcpy.model.base.size import GIB, MIB
from bootcpy.model.image.reference import ImageReference
from bootcpy.model.install.config import InstallConfig, merge_install_config
from bootcpy.model.install.layout import DiskFacts
from bootcpy.model.install.plan import InstallPlan
from bootcpy.model.install.planning import SourceImage, plan_install
from bootcpy.model.install.settings import InstallRequest, InstallSurroundings, Settings, settle
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


def some_settings(
    request: InstallRequest | None = None,
    *,
    config: InstallConfig = EXT4,
    **surroundings: Any,  # noqa: ANN401 - any field
) -> Settings:
    defaults: dict[str, Any] = {"machine": "x86_64", "source_date_epoch": "1700000000"}
    return settle(request or a_request(), config, InstallSurroundings(**defaults | surroundings))


def a_plan(
    settings: Settings | None = None,
    *,
    target: TargetState | None = None,
    image: SourceImage | None = None,
) -> InstallPlan:
    return plan_install(
        settings or some_settings(),
        target or TargetState(disk=DiskFacts(path="/dev/vdb", size_bytes=10 * GIB)),
        image or an_image(),
    )
