from bootcpy.model.boot.kargs import KernelArguments
from bootcpy.model.image.oci import ImageConfig
from bootcpy.model.image.reference import ImageReference, SignedImageReference
from bootcpy.model.install.aleph import aleph_text
from bootcpy.model.install.plan import DeployPlan

DIGEST = "sha256:" + "ab" * 32


def plan(source: str) -> DeployPlan:
    return DeployPlan(
        source=ImageReference.parse(source),
        follows=SignedImageReference.parse("ostree-unverified-registry:example.com/os:13"),
        manifest_digest=DIGEST,
        machine="x86_64",
        kargs=KernelArguments(root=("rw",)),
    )


def config(**labels: str) -> ImageConfig:
    return ImageConfig(
        architecture="amd64",
        labels={key.replace("_", "."): value for key, value in labels.items()},
        diff_ids=(),
        created="2026-01-01T00:00:00Z",
    )


def test_aleph_text_has_bootcs_keys_in_canonical_form() -> None:
    text = aleph_text(
        plan("containers-storage:localhost/os:13"),
        config(
            org_opencontainers_image_version="13.2",
            org_opencontainers_image_created="2026-02-03T04:05:06Z",
        ),
        kernel="6.1.0",
    )
    assert text == (
        f'{{"digest":"{DIGEST}","image":"localhost/os:13@{DIGEST}","kernel":"6.1.0",'
        '"labels":{"org.opencontainers.image.created":"2026-02-03T04:05:06Z",'
        '"org.opencontainers.image.version":"13.2"},'
        '"selinux":"disabled","target-image":"example.com/os:13",'
        '"timestamp":"2026-02-03T04:05:06+00:00","version":"13.2"}'
    )


def test_aleph_text_leaves_out_temporary_sources_and_empty_labels() -> None:
    text = aleph_text(plan("oci:/tmp/image"), config(), kernel="6.1.0")
    assert text == (
        f'{{"digest":"{DIGEST}","kernel":"6.1.0","selinux":"disabled",'
        '"target-image":"example.com/os:13","timestamp":null,"version":null}'
    )
