"""The aleph file: what was installed first, kept in the physical root (bootc install/aleph.rs)."""

import json
from typing import Any

from bootcpy.model.image.oci import LABEL_CREATED, ImageConfig, parse_timestamp
from bootcpy.model.install.plan import DeployPlan


def aleph_text(plan: DeployPlan, config: ImageConfig, *, kernel: str) -> str:
    """Return the record of what was installed first, in bootc's canonical JSON.

    `kernel` is the release of the kernel that the installation ran on.
    """
    created = parse_timestamp(config.labels.get(LABEL_CREATED))
    source = plan.source.with_digest(plan.manifest_digest).name
    document: dict[str, Any] = {
        "digest": plan.manifest_digest,
        "target-image": plan.follows.image.name,
        "version": config.version,
        "timestamp": None if created is None else created.isoformat(),
        "kernel": kernel,
        "selinux": "disabled",
    }
    if not source.startswith("/tmp"):  # noqa: S108 - bootc leaves out names of temporary files
        document["image"] = source
    if config.labels:
        document["labels"] = dict(config.labels)
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
