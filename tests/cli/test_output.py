"""Nobody who stops reading stops what is under way."""

from __future__ import annotations

import subprocess
import sys

from tests.support.patience import PATIENCE_S

PROGRAM = """
import sys
from maintainer.cli.output import say
for number in range(20_000):
    say(f"line {number}")
sys.stderr.write("went on to its end")
"""


def test_a_closed_pipe_at_our_output_ends_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "line 0\n"
        process.stdout.close()
        assert process.stderr.read() == "went on to its end"
        assert process.wait(PATIENCE_S) == 0
