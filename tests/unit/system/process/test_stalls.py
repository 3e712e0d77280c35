import os
import socket
import time

import pytest

from bootcpy.system.process.stalls import PipeProbe, Watch


def test_a_probe_sees_bytes_and_is_no_reader() -> None:
    read, write = os.pipe()
    probe = PipeProbe(read)
    seen = [probe.has_bytes()]
    os.write(write, b"x")
    seen.append(probe.has_bytes())
    os.read(read, 1)
    seen.append(probe.has_bytes())
    os.close(read)
    assert seen == [False, True, False]
    with pytest.raises(BrokenPipeError):  # Python ignores SIGPIPE
        os.write(write, b"x")
    os.close(write)
    probe.close()
    probe.close()


def test_an_answer_that_does_not_come_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        began_s = time.monotonic()
        with pytest.raises(LookupError):
            Watch(1).wait_for(ours, LookupError)
        assert time.monotonic() - began_s >= 1
        theirs.send(b"x")
        Watch(1).wait_for(ours, LookupError)
