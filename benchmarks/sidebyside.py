"""Twenty groups in one run, each on an instance of its own, beside one group alone: the time, and the memory of controller and machine."""

from __future__ import annotations

import threading
from pathlib import Path

from benchmarks.overhead import peak_mib
from benchmarks.result import Result
from maintainer.edges.clock import SystemClock
from tests.support.instances import Fleet, fleet

GROUPS = 20


def measure() -> Result:
    """Run one group, and then all."""
    rows: list[dict[str, str | float]] = []
    with fleet() as park:
        configuration = Path(park.sandbox.config)
        text = configuration.read_text()
        section = text[text.index("[group.sandbox]") :]
        configuration.write_text(text + "".join(section.replace("group.sandbox", f"group.g{number}") for number in range(1, GROUPS)))
        for number in range(GROUPS):
            park.repository(f"r{number}", f"g{number}" if number else "sandbox")
        park.run("--repository", "r0")  # its image is unpacked, and every file read once
        rows += [_run(park, "one group", "--repository", "r0"), _run(park, f"{GROUPS} groups side by side")]
    one, many = (float(row["total_s"]) for row in rows)
    return Result("sidebyside", rows, {"a group's share of the time": round(many / one / GROUPS, 2)})


def _run(park: Fleet, subject: str, *words: str) -> dict[str, str | float]:
    clock, before = SystemClock(), _available_mib()
    least, controller, machines = before, 0.0, 0
    began = clock.monotonic()
    process = park.start("run", "--once", "--json", *words)
    told: list[str] = []
    reader = threading.Thread(target=lambda: told.extend(process.communicate()))
    reader.start()
    while reader.is_alive():
        least = min(least, _available_mib())
        controller = max(controller, peak_mib(process.pid))
        machines = max(machines, len(park.machines()))
        clock.sleep(0.2)
    if process.returncode:
        failed = [line for line in "".join(told).splitlines() if "exit_code" in line or "reason" in line]
        raise SystemExit("\n".join((f"{subject}: exit {process.returncode}", *failed)))
    took = clock.monotonic() - began
    park.nothing_is_left()
    return {
        "subject": subject,
        "total_s": round(took, 1),
        "machines": machines,
        "all_mib": round(before - least),
        "controller_mib": round(controller),
    }


def _available_mib() -> float:
    """Return what the machine has left for whoever asks."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) / 1024
