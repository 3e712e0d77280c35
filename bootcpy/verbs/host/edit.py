"""`bootc edit`: change what is followed, or the boot order, by editing the host document."""

import os
import shlex
import shutil
import tempfile
from pathlib import Path

from bootcpy.errors import BootcpyError
from bootcpy.model.base.progress import Progress
from bootcpy.model.host.decisions import Stage, decide_edit
from bootcpy.model.host.document_text import to_yaml
from bootcpy.model.host.edited_spec import parse_edited_spec
from bootcpy.model.host.status import host_from_state
from bootcpy.system.process.run import spawn
from bootcpy.verbs.host.change import Outcome, changing
from bootcpy.verbs.host.rollback import reorder
from bootcpy.verbs.host.switch import fetch_and_stage

_EDITORS = ("/usr/bin/nano", "/usr/bin/vim", "/usr/bin/vi")
_HINT = "set EDITOR, or use --filename"


def edit(progress: Progress, *, file: Path | None = None) -> Outcome:
    """Apply the document in `file`, or one that the user edits now.

    Raises:
        ConfigurationError: the document is malformed.
        DeploymentError: what it asks for is not possible.
        BootcpyError: there is no editor, or it failed.
    """
    with changing(progress) as system:
        host = host_from_state(system.state)
        name = "the edited document" if file is None else str(file)
        text = _run_editor(to_yaml(host)) if file is None else _read(file)
        decision = decide_edit(system.state, host.spec, parse_edited_spec(text, name=name))
        if decision is None:
            return Outcome(lines=("Edit cancelled, no changes made.",))
        if isinstance(decision, Stage):
            return fetch_and_stage(system, decision)
        return reorder(system, decision)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not UTF-8 text"
        raise BootcpyError(f"cannot read {file}: {reason}", hint="check the name") from e


def _run_editor(text: str) -> str:
    """Return `text` as the user's editor leaves it."""
    editor = os.environ.get("EDITOR") or next(filter(shutil.which, _EDITORS), None)
    if editor is None:
        raise BootcpyError("there is no editor", hint=_HINT)
    try:
        argv = shlex.split(editor)
    except ValueError as e:
        raise BootcpyError(f"EDITOR cannot be read: {editor!r}: {e}", hint=_HINT) from e
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        status = spawn([*argv, file.name], stdin=0, stdout=1, stderr=2).wait()
        if status != 0:
            raise BootcpyError(
                f"the editor {editor} failed (exit status {status}); nothing was changed",
                hint=_HINT,
            )
        return _read(Path(file.name))
