"""`maintainer-agent run | remote`, an instance's two programs: one keeps the agent, the other answers whoever logs in.

On a machine that stays it is `resident` that answers, and begins a keeper for each run: `keep FOLDER LIMIT_S`.
"""

from __future__ import annotations

import sys
from pathlib import Path

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
        case ["resident"]:
            from maintainer.agent import resident  # noqa: PLC0415 - as above

            return resident.main()
        case ["keep", place, limit_s] if limit_s.isdigit():
            from maintainer.agent import instance  # noqa: PLC0415 - as above

            instance.keep(Path(place), int(limit_s))
            return 0
    sys.stderr.write("usage: maintainer-agent run | remote | resident\n")
    return remote.WRONG_USE


if __name__ == "__main__":
    sys.exit(main())
