"""`bootc image`: the images that a host holds."""

import json
from enum import StrEnum
from typing import Annotated

import typer

from bootcpy.cli import progress
from bootcpy.cli.output import print_json, print_line
from bootcpy.model.image.reference import ImageReference

_HEADER = ("REPOSITORY", "TYPE")


class ImageType(StrEnum):
    """Which images to list."""

    ALL = "all"
    LOGICAL = "logical"  # bound to the image; not supported yet, so there is none
    HOST = "host"


class ListFormat(StrEnum):
    """How to list them."""

    TABLE = "table"
    JSON = "json"


def list_(
    type_: Annotated[
        ImageType, typer.Option("--type", help="Only images of this type.")
    ] = ImageType.ALL,
    form: Annotated[
        ListFormat, typer.Option("--format", help="Print a table, or JSON.")
    ] = ListFormat.TABLE,
) -> None:
    """List the images in the repository of this host."""
    from bootcpy.verbs.image import image as verb

    names: tuple[str, ...] = ()
    if type_ is not ImageType.LOGICAL:
        names = verb.list_images(host_only=type_ is ImageType.HOST)
    if form is ListFormat.JSON:
        entries = [{"image_type": "host", "image": name} for name in names]
        print_json(json.dumps(entries, indent=2) + "\n")
        return
    rows = (_HEADER, *((name, "host") for name in names))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for row in rows:
        cells = (f" {text:<{width}} " for text, width in zip(row, widths, strict=True))
        print_line("".join(cells))


def copy_to_storage(
    source: Annotated[
        str | None, typer.Option("--source", help="The image; the default is the booted one.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="Name in podman's storage; the default is localhost/bootc."),
    ] = None,
) -> None:
    """Copy an image of this host into podman's storage."""
    from bootcpy.verbs.image import image as verb

    with progress.opened() as sink:
        copied = verb.copy_to_storage(
            None if source is None else ImageReference.parse(source),
            target or verb.DEFAULT_TARGET,
            sink,
            print_line,
        )
    print_line(f"Pushed: {copied.target} {copied.digest}")
