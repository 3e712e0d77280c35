"""The development sessions. `nox -l` lists them; `nox -s SESSION -- ARGUMENTS` runs one.

`./dev SESSION` does the same on a machine that has nothing installed yet.
"""

import os
import sys

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "unit"]

PROJECT = nox.project.load_toml("pyproject.toml")
# What `test` runs, the cheap answers first.
EVERYTHING = ("lint", "types", "unit", "docs", "fuzz", "image", "system", "vm", "report")
# Progress lines must not wait in a buffer when the output is a log.
os.environ["PYTHONUNBUFFERED"] = "1"


def install(session: nox.Session, *groups: str) -> None:
    """Install this project, editable, and dependency groups."""
    session.install("--quiet", "-e.", *nox.project.dependency_groups(PROJECT, *groups))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and the import rules between the layers: seconds."""
    install(session, "lint")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-logo")
    session.run("validate-pyproject", "pyproject.toml")
    for script in ("dev", ".ci/run"):
        session.run("sh", "-n", script, external=True)


@nox.session
def types(session: nox.Session) -> None:
    """Types, with mypy --strict: seconds."""
    install(session, "types")
    session.install("--quiet", "--no-deps", *nox.project.dependency_groups(PROJECT, "stubs"))
    session.run("mypy", *session.posargs)


@nox.session
def unit(session: nox.Session) -> None:
    """Tests that need no root, no disk and no network, and how much of model/ they run: seconds."""
    install(session, "test", "coverage")
    options = ("--timeout=120", report_option("unit"))
    if session.posargs:
        session.run("pytest", *options, *session.posargs)
    else:
        session.run("coverage", "run", "-m", "pytest", *options, "tests/unit")
        session.run("coverage", "report")


@nox.session
def docs(session: nox.Session) -> None:
    """Whether man pages, schema and help agree with the code; `-- --write` makes them."""
    install(session, "docs")
    write = session.posargs == ["--write"]
    session.run("python", "-m", "tools.update_generated", *([] if write else ["--check"]))
    session.run("pytest", "--timeout=120", report_option("docs"), "tests/docs")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Odd input for all that reads others' input: a minute; `-- --minutes N` of new input."""
    install(session, "fuzz")
    session.run("python", "-m", "tools.fuzz.session", *session.posargs)


@nox.session(venv_backend="none")
def image(session: nox.Session) -> None:
    """Build the bootable image from images/Containerfile: minutes, then cached. Root."""
    run_tool(session, "tools.image", "build")


@nox.session(venv_backend="none")
def system(session: nox.Session) -> None:
    """Tests on loop devices with real libostree, in the built image: eight minutes. Root."""
    run_tool(session, "tools.system_tests")


@nox.session
def vm(session: nox.Session) -> None:
    """Tests that install the image and boot it in QEMU, two at a time: twenty minutes. Root."""
    install(session, "test", "vm")
    # Nobody wants to see only dots for so long: every stage is shown. One guest keeps a processor
    # and a third busy where it is emulated.
    options = (
        *("--timeout=3600", "--capture=no", "--numprocesses=2", "--dist=loadfile"),
        report_option("vm"),
    )
    session.run("pytest", *options, *(session.posargs or ["-m", "not soak", "tests/vm"]))


@nox.session
def soak(session: nox.Session) -> None:
    """What is long by nature and need not run with every change: twenty updates. Root."""
    install(session, "test", "vm")
    session.run("pytest", "--timeout=7200", "--capture=no", "-m", "soak", "tests/vm")


@nox.session(venv_backend="none")
def demo(session: nox.Session) -> None:
    """Build the image, install it onto a disk file, boot that, log in; `-- --keep`. Root."""
    run_tool(session, "tools.demo")


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Time and memory of an install, status, updates and odd layers, against plain tools. Root."""
    run_tool(session, "bench.install")
    run_tool(session, "bench.update")
    run_tool(session, "bench.hostile_layers")


@nox.session(venv_backend="none")
def test(session: nox.Session) -> None:
    """Run everything, the quick sessions first; fails when any of them does. Root."""
    run_tool(session, "tools.test_report", "--forget")
    for name in EVERYTHING:
        session.notify(name)


@nox.session(venv_backend="none")
def report(session: nox.Session) -> None:
    """What the sessions before found: failures, skips, the slowest tests."""
    run_tool(session, "tools.test_report")


def report_option(suite: str) -> str:
    """Return the option by which pytest leaves its results to the session `report`."""
    return f"--junitxml=.cache/reports/{suite}.xml"


def run_tool(session: nox.Session, module: str, *arguments: str) -> None:
    """Run one of the development tools, which need nothing beyond the standard library."""
    session.run(sys.executable, "-m", module, *arguments, *session.posargs)
