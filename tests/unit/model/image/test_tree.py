from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.image.bound import bound_images
from bootcpy.model.image.tree import configuration
from tests.unit.model.image.trees import Link, TreeInMemory


def test_a_configuration_file_has_a_limit() -> None:
    tree = TreeInMemory({"a": bytes(65_536), "b": bytes(65_537), "c": Link("a"), "d/x": b""})
    found = [configuration(tree, Path(name)) for name in ("a", "c", "d", "e")]
    assert found == [bytes(65_536), None, None, None]
    with pytest.raises(
        ImageContentError, match=r"^cannot read /b of the image: it is larger than 64 KiB$"
    ):
        configuration(tree, Path("b"))


def test_bound_images() -> None:
    base = "usr/lib/bootc/bound-images.d"
    assert bound_images(TreeInMemory({})) == ()
    files: dict[str, bytes | Link] = {f"{base}/b.image": Link("/x"), f"{base}/a.container": b""}
    assert bound_images(TreeInMemory(files)) == ("a.container", "b.image")
