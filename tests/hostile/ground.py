"""The ground that hostile input is tried on, and what must hold after every try.

A ground is a host that seems booted (`tests.system.support.booted_host`), installed by our own
code. The program runs on it as a user types it. Whatever the input, the same must be true
afterwards: see `Ground.check`.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile.images import BASE, MIB, Layout, layer
from tests.layers import file
from tests.system.support.booted_host import BootedHost
from tests.system.support.installed_host import installed
from tests.system.support.pulls import listing

_ROOT = Path(__file__).resolve().parents[2]
_MEMORY_LIMIT = 200 * MIB
# Of the container the tests run in; nothing that a row does may change anything here.
_ELSEWHERE = ("/boot", "/etc", "/home", "/opt", "/root", "/srv", "/usr/bin", "/usr/etc")
_GOOD_FILE = "usr/good"

Words = Sequence[str | Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One input, and what must come of it.

    `words` makes the input in a directory of its own and returns the command line.
    `refused` is searched for in the error; without it the command must succeed. `tree` is then
    what the imported commit must hold, as `pulls.listing` shows it, None for what it must not.
    `said` is searched for in all that is printed. `once` is what was seen when this went wrong.
    """

    id: str
    words: Callable[["Ground", Path], Words]
    refused: str = ""
    tree: Mapping[str, str | None] = field(default_factory=dict)
    said: str = ""
    status: int = 1  # of a refusal
    environment: Mapping[str, str] = field(default_factory=dict)
    then: Sequence[Words] = ()  # commands that must succeed afterwards, and say printable words
    boots: bool = False  # shuts down, and boots what was staged
    once: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one run of the program ended."""

    status: int
    stdout: bytes
    stderr: bytes
    peak_bytes: int  # of all its processes together, without what they share with files
    largest_bytes: int  # of the largest of them
    left: Sequence[str]  # what the run started and did not end: processes, mounts


class Server:
    """A process that runs the program when told to; see `tests.hostile.server`."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], output: Path
    ) -> None:
        """Start it; `output` is where runs write."""
        self._environment = dict(environment)
        self._output = output
        self._process = subprocess.Popen(
            [*command, sys.executable, "-m", "tests.hostile.server"],
            env={**environment, "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, words: Words, environment: Mapping[str, str]) -> Outcome:
        """Run the program with `words`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {
            "words": [str(word) for word in words],
            "environment": self._environment | dict(environment),
            "stdout": str(self._output / "stdout"),
            "stderr": str(self._output / "stderr"),
        }
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        stdout, stderr = ((self._output / name).read_bytes() for name in ("stdout", "stderr"))
        return Outcome(**answer, stdout=stdout, stderr=stderr)

    def close(self) -> None:
        """End it."""
        self._process.communicate()


class Ground:
    """A host that seems booted, and what surrounds it."""

    def __init__(self, host: BootedHost, base: Path) -> None:
        """Take `host`, made in `base`, for the ground."""
        self.host = host
        self.base = base
        self.deployment = _booted(host)
        self.home, self._tmp, self._output = base / "home", base / "tmp", base / "output"
        self.undo = ExitStack()  # what a row puts back
        self._servers: dict[str, Server] = {}
        self._rows = 0
        for each in (self.home, self._tmp, self._output, base / "rows", base / "canary"):
            each.mkdir()
        (base / "canary/file").write_text("canary\n", encoding="utf-8")
        (base / "canary/link").symlink_to("file")

    @property
    def repo(self) -> Path:
        """The host's repository."""
        return self.host.root / "ostree/repo"

    def change(self, path: Path, content: bytes | None) -> Path:
        """Write a file of the host, or remove it, until the row is over; return it."""
        before = path.read_bytes() if path.exists() else None
        if before is None:
            self.undo.callback(path.unlink, missing_ok=True)
        else:
            self.undo.callback(path.write_bytes, before)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        return path

    def run(self, words: Words, environment: Mapping[str, str] | None = None) -> Outcome:
        """Run the program on the host."""
        if "host" not in self._servers:
            self._servers["host"] = Server(self.host.command(), self._environment(), self._output)
        return self._servers["host"].run(words, environment or {})

    def run_in_container(
        self, words: Words, environment: Mapping[str, str] | None = None
    ) -> Outcome:
        """Run the program beside the host, in the container that the tests run in."""
        if "container" not in self._servers:
            environment = {**os.environ, "TMPDIR": str(self._tmp)}
            self._servers["container"] = Server((), environment, self._output)
        return self._servers["container"].run(words, environment or {})

    def _environment(self) -> dict[str, str]:
        return self.host.environment() | {"HOME": str(self.home), "TMPDIR": str(self._tmp)}

    def check(self, row: Row) -> Outcome:
        """Try a row on the host; whatever it is, all that this asserts must hold."""
        self._rows += 1
        place = self.base / f"rows/{self._rows}"
        place.mkdir()
        try:
            words = row.words(self, place)
            before = self._survey(row)
            run = self.run_in_container if words[0] == "install" else self.run
            outcome = run(words, row.environment)
            show(outcome)
            require_answer(row, outcome)
            require_small(outcome)
            require_equal(self._survey(row), before)
            self._require_nothing_left(outcome)
            if row.tree:
                found = self._staged()
                assert {path: found.get(path) for path in row.tree} == row.tree
            for each in row.then:
                require_answer(Row(id="", words=row.words), self.run(each))
            if row.boots:
                self._reboot()
        finally:
            self.undo.close()
            shutil.rmtree(place)
        self._require_sound()
        self.require_good()
        return outcome

    def require_good(self) -> None:
        """Have a good image imported and staged."""
        place = self.base / "good"
        made = layer(file(_GOOD_FILE, b"%d" % self._rows))
        Layout(layers=(BASE, made), labels={"version": str(self._rows)}).write(place)
        try:
            outcome = self.run(["switch", "--quiet", "--transport=oci", place])
            assert outcome.status == 0, outcome.stderr.decode()
            assert _GOOD_FILE in self._staged()
        finally:
            shutil.rmtree(place)

    def _staged(self) -> dict[str, str]:
        """Return what is in the tree that was staged."""
        document = json.loads(self.run(["status", "--json"]).stdout)
        return listing(self.repo, document["status"]["staged"]["ostree"]["checksum"])

    def _require_sound(self) -> None:
        done = subprocess.run(
            ["ostree", "fsck", "--quiet", f"--repo={self.repo}"],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    def _reboot(self) -> None:
        """Shut down and boot; what was staged must have arrived."""
        assert self.host.finalize() == 0
        self._close("host")
        self.host.boot()
        self.deployment = _booted(self.host)

    def _close(self, name: str) -> None:
        if server := self._servers.pop(name, None):
            server.close()

    def close(self) -> None:
        """End the processes that run the program."""
        for name in list(self._servers):
            self._close(name)

    # ------------------------------------------------------------------ before and after

    def _survey(self, row: Row) -> dict[str, object]:
        """Return all that a command must not change, whatever its input is."""
        found: dict[str, object] = {}
        for top in (*_ELSEWHERE, str(self.base / "canary"), str(self.home)):
            found |= survey(Path(top))
        surroundings = (self.base, self.host.root, self.host.root / "ostree", self.repo)
        found |= {str(each): sorted(x.name for x in each.iterdir()) for each in surroundings}
        if row.refused:
            deployed = self.host.root.glob("ostree/deploy/*/deploy/*")
            found["deployments"] = sorted(map(str, deployed))
            found |= survey(self.host.root / "boot")
        return found

    def _require_nothing_left(self, outcome: Outcome) -> None:
        assert outcome.left == []
        assert list(self._tmp.iterdir()) == []
        backing = [
            (loop / "loop/backing_file").read_text(encoding="utf-8")
            for loop in Path("/sys/block").glob("loop*")
            if (loop / "loop/backing_file").exists()
        ]
        # Another container may call its own files the same.
        files = [Path(each.rstrip("\n")) for each in backing]
        assert [f for f in files if f.is_relative_to(self.base) and f.exists()] == []


def _booted(host: BootedHost) -> Path:
    """Return the directory of the deployment that runs."""
    booted = host.status()["status"]["booted"]["ostree"]
    name = f"{booted['checksum']}.{booted['deploySerial']}"
    return host.root / f"ostree/deploy/{booted['stateroot']}/deploy/{name}"


def survey(top: Path) -> dict[str, object]:
    """Return what there is below `top`: names, kinds, modes, sizes, times, targets."""
    found: dict[str, object] = {}
    for path in (top, *top.rglob("*")) if top.is_dir() else ():
        try:
            status = path.lstat()
        except FileNotFoundError:  # of somebody else, who has just removed it
            continue
        target = str(path.readlink()) if stat.S_ISLNK(status.st_mode) else ""
        found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns, target)
    return found


def require_equal(after: Mapping[str, object], before: Mapping[str, object]) -> None:
    """Compare two surveys, and say what differs."""
    keys = sorted({*after, *before})
    assert not [(k, before.get(k), after.get(k)) for k in keys if before.get(k) != after.get(k)]


def show(outcome: Outcome) -> None:
    """Print what a run said, for the report of a failure."""
    print(f"status {outcome.status}; peak {outcome.peak_bytes / MIB:.0f} MiB")
    print(ascii(outcome.stdout.decode(errors="replace")))
    print(ascii(outcome.stderr.decode(errors="replace")))


def require_answer(row: Row, outcome: Outcome) -> None:
    """Check the status and the words: one line for the error, one for the hint, no more."""
    said, stderr = outcome.stdout.decode(), outcome.stderr.decode()
    assert "Traceback" not in stderr
    for line in (said + stderr).split("\n"):
        # GLib, and so this program, has a space in sizes that does not break.
        assert line.replace("\N{NO-BREAK SPACE}", "").isprintable(), ascii(line)
    assert outcome.status == (row.status if row.refused else 0)
    errors = [line for line in stderr.split("\n") if line.startswith("error: ")]
    if row.refused:
        assert len(errors) == 1
        *_, error, hint, end = stderr.split("\n")
        assert (error, end) == (errors[0], "")
        assert re.match("hint: .", hint)
        assert re.search(row.refused, error)
        assert len(error) < _LONGEST_LINE
    else:
        assert errors == []
    assert re.search(row.said, said + stderr)


_LONGEST_LINE = 1500


def require_small(outcome: Outcome) -> None:
    """Check that the memory does not follow the input."""
    assert outcome.peak_bytes < _MEMORY_LIMIT
    assert outcome.largest_bytes < _MEMORY_LIMIT


@contextmanager
def laid_out(base: Path) -> Generator[Ground]:
    """Yield a ground in `base`."""
    good = Layout(layers=(BASE,)).write(base / "installed")
    with installed(base, good, kargs=["root=UUID=x", "rw"]) as host:
        ground = Ground(host, base)
        try:
            ground.require_good()  # makes what the first change of a host makes
            yield ground
        finally:
            ground.close()


def switch(layout: Layout) -> Callable[[Ground, Path], Words]:
    """Return what switches to the image of a layout."""

    def words(_ground: Ground, place: Path) -> Words:
        return ["switch", "--quiet", "--transport=oci", layout.write(place / "image")]

    return words
