import importlib.util
import os
import py_compile
from pathlib import Path

import pytest

from bootcpy.system.container import bytecode

_PACKAGE = Path("/usr/lib/python3/dist-packages/ours")


@pytest.fixture
def module(tmp_path: Path) -> Path:
    source = tmp_path / "usr/lib/python3/dist-packages/one.py"
    source.parent.mkdir(parents=True)
    source.write_text("ANSWER = 42\n", encoding="utf-8")
    return source


def make_independent_of_time(root: Path) -> int:
    return bytecode.make_independent_of_time(root, package=_PACKAGE)


def compiled(source: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(source)))


def code_of(path: Path) -> bytes:
    return path.read_bytes()[16:]


def test_module_named_by_time_is_then_named_by_hash(tmp_path: Path, module: Path) -> None:
    by_time = py_compile.PycInvalidationMode.TIMESTAMP
    py_compile.compile(str(module), dfile="/the/same", invalidation_mode=by_time)
    code = code_of(compiled(module))

    assert make_independent_of_time(tmp_path) == 1

    header = compiled(module).read_bytes()[:16]
    assert header[4:8] == b"\3\0\0\0"  # PEP 552: by hash, to be checked
    assert header[8:] == importlib.util.source_hash(module.read_bytes())
    assert code_of(compiled(module)) == code  # not compiled again
    assert make_independent_of_time(tmp_path) == 0


def test_module_whose_time_has_changed_is_compiled_again(tmp_path: Path, module: Path) -> None:
    py_compile.compile(str(module), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    module.write_text("ANSWER = 43\n", encoding="utf-8")
    os.utime(module, (0, 0))

    assert make_independent_of_time(tmp_path) == 1

    namespace: dict[str, object] = {}
    spec = importlib.util.spec_from_file_location("one", module)
    assert spec is not None
    assert spec.loader is not None
    one = importlib.util.module_from_spec(spec)
    before = compiled(module).read_bytes()
    spec.loader.exec_module(one)
    namespace.update(vars(one))
    assert namespace["ANSWER"] == 43
    assert compiled(module).read_bytes() == before  # it was valid as it was


def test_modules_that_nobody_compiled_stay_so(tmp_path: Path, module: Path) -> None:
    assert make_independent_of_time(tmp_path) == 0
    assert not compiled(module).exists()


def test_modules_of_this_package_are_compiled(tmp_path: Path) -> None:
    source = tmp_path / "usr/lib/python3/dist-packages/ours/deep/two.py"
    source.parent.mkdir(parents=True)
    source.write_text("", encoding="utf-8")
    assert make_independent_of_time(tmp_path) == 1
    assert compiled(source).exists()


def test_this_package_is_all_of_bootcpy() -> None:
    assert bytecode.PACKAGE.name == "bootcpy"
    assert {"cli", "model", "ostree", "system", "verbs"} <= {
        each.name for each in bytecode.PACKAGE.iterdir()
    }


def test_source_that_is_not_python_is_left_alone(tmp_path: Path, module: Path) -> None:
    compiled(module).parent.mkdir()
    compiled(module).write_bytes(b"junk")
    module.write_text("{% template %}\n", encoding="utf-8")
    make_independent_of_time(tmp_path)
    assert compiled(module).read_bytes() == b"junk"
