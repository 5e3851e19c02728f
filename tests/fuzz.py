"""Coverage-guided fuzzing of one reader: `script/fuzz KIND [SECONDS]`.

It begins with the corpus and with what is sound, and goes where new code is reached. An input over which the reader does anything else than
return or raise FormatError, takes more than 5 s, or more than 512 MiB, is written to tests/corpus/KIND/, where the suite keeps it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.support.grammar import FIELDS

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    """Fuzz for so many seconds; libFuzzer ends the process, with a status of its own where it has found something."""
    import atheris  # noqa: PLC0415 - it instruments what is imported below

    with atheris.instrument_imports(include=["maintainer.format", "maintainer.core"]):
        from tests.support.readers import READERS, read  # noqa: PLC0415 - see above

    if len(sys.argv) not in (2, 3) or sys.argv[1] not in READERS:
        sys.exit(f"usage: script/fuzz KIND [SECONDS]; KIND is one of {', '.join(map(repr, READERS))}")
    kind, seconds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60
    found = CORPUS / kind.replace(" ", "-")
    found.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        if kind in FIELDS:
            (Path(folder) / "sound").write_text(json.dumps(FIELDS[kind], separators=(",", ":")))
        options = [f"-max_total_time={seconds}", "-timeout=5", "-rss_limit_mb=512", "-max_len=65536", f"-artifact_prefix={found}/found-"]
        atheris.Setup([sys.argv[0], *options, folder, str(found)], lambda body: read(kind, body))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
