"""`maintainer-agent run | remote`, an instance's two programs: one keeps the agent, the other answers whoever logs in."""

from __future__ import annotations

import sys

from maintainer.agent import remote


def main() -> int:
    """Run the named one."""
    match sys.argv[1:]:
        case ["run"]:
            from maintainer.agent import instance  # noqa: PLC0415 - `remote` starts for every connection, and needs nothing of it

            instance.main()
            return 0
        case ["remote"]:
            return remote.main()
    sys.stderr.write("usage: maintainer-agent run | remote\n")
    return remote.WRONG_USE
