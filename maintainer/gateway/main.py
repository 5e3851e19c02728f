"""`maintainer-gateway JOB`: serve what the job's file says, until SIGTERM."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from maintainer.core.errors import ExitCode, MaintainerError
from maintainer.core.gateway import decode
from maintainer.edges.clock import SystemClock
from maintainer.edges.scratch import Scratch
from maintainer.gateway.serving import Gateway


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; return how it ended."""
    given = sys.argv[1:] if argv is None else argv
    if len(given) != 1:
        sys.stderr.write("usage: maintainer-gateway JOB\n")
        return ExitCode.USAGE
    scratch = Scratch()
    try:
        gateway = Gateway(decode(Path(given[0]).read_text(encoding="utf-8")), scratch.path, SystemClock())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: gateway.stop())
        gateway.serve()
    except MaintainerError as error:
        sys.stderr.write(f"maintainer-gateway: {error}\n")
        return error.exit_code
    finally:
        scratch.close()
    return ExitCode.COMMITTED


if __name__ == "__main__":
    sys.exit(main())
