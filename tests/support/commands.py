"""`maintainer` in the tests' own process: a process of its own imports for a second what is loaded here. Who is ended or signalled is one."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

from maintainer.cli.main import main


def command(config: str, *words: str) -> tuple[int, str, str]:
    """Call the command with a configuration; return its exit code and what it printed on either output."""
    output, errors = io.StringIO(), io.StringIO()
    with patch.dict(os.environ, {"MAINTAINER_CONFIG": config}), redirect_stdout(output), redirect_stderr(errors):
        try:
            code = main(words)
        except SystemExit as error:  # argparse's way out
            code = error.code if isinstance(error.code, int) else 1
    return code, output.getvalue(), errors.getvalue()
