from bootcpy.model.container.shipped import SHIPPED
from bootcpy.system.container.package_data import read_shipped


def test_all_that_is_shipped_is_in_the_package() -> None:
    found = read_shipped()
    assert list(found) == [file.path for file in SHIPPED]
    assert all(text.endswith("\n") for text in found.values())
