from bootcpy.cli.commands import COMMANDS
from bootcpy.cli.completion import words


def test_words_are_what_help_shows() -> None:
    found = {each.words: each for each in words(COMMANDS)}
    top = [name for name, _ in found[""].commands]
    assert {"status", "upgrade", "install", "container"} <= set(top)
    assert "internals" not in top
    assert "internals fsck" not in found
    upgrade = {name: choice for choice in found["upgrade"].choices for name in choice.names}
    assert upgrade["--soft-reboot"].values == ("required", "auto")
    assert upgrade["--tag"].takes_value
    assert not upgrade["--apply"].takes_value
    assert "--progress-fd" not in upgrade
    assert {"--wipe", "--help"} <= {
        name for choice in found["install to-disk"].choices for name in choice.names
    }
