"""The files that come with the package, to be written into an image."""

from importlib.resources import files

from bootcpy.model.container.shipped import SHIPPED


def read_shipped() -> dict[str, str]:
    """Return the text of each of the files that an image needs of us, by its path there."""
    data = files("bootcpy") / "data"
    return {file.path: (data / file.path).read_text(encoding="utf-8") for file in SHIPPED}
