"""What restic does in a repository of 200,000 packs, through the view and on its own S3 backend; and a view of a million."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.credentials import Credentials

from benchmarks import peers
from benchmarks.bucket import BUCKET, ROOT
from benchmarks.manypacks import PASSWORD
from benchmarks.result import Result
from maintainer.edges.clock import SystemClock
from maintainer.edges.presign import Presigner
from tests.support.repositories import RESTIC

CONNECTIONS = (1, 16)
COMMANDS: dict[str, tuple[str, ...]] = {
    "snapshots_s": ("snapshots", "--no-lock"),
    "check_s": ("check", "--no-lock"),
    "read_s": ("check", "--no-lock", "--read-data"),
    "prune_s": ("prune", "--max-repack-size=0"),
}
"""A prune that repacks nothing: else it would put all these small packs together, which no real repository has so many of."""
MILLION = 1_000_000
URLS = 100_000


def measure() -> Result:
    """Run them, each on a bucket of its own, then ask for the list of a million packs."""
    rows: list[dict[str, str | float]] = []
    ratios: dict[str, float] = {}
    for connections in CONNECTIONS:
        own, through = _own(connections), _through_view(connections)
        rows += [own, through]
        ratios |= {f"{name}, {connections} connections, view/own": round(float(through[name]) / float(own[name]), 2) for name in COMMANDS}
    return Result("packs", [*rows, _million(), _presign()], ratios)


def _own(connections: int) -> dict[str, str | float]:
    with _served("benchmarks.bucket", "packs", os.devnull) as (endpoint, _):
        address = f"s3:{endpoint}/{BUCKET}/{ROOT.rstrip('/')}"
        return {"subject": f"restic's S3 backend, {connections} connections", **_commands(address, "s3", connections)}


def _through_view(connections: int) -> dict[str, str | float]:
    bucket = _served("benchmarks.bucket", "packs", os.devnull)
    with bucket as (endpoint, _), _served("benchmarks.viewer", endpoint=endpoint) as (address, cost):
        took = _commands(address, "rest", connections)
    return {"subject": f"view, {connections} connections", **took, **cost}


def _commands(address: str, backend: str, connections: int) -> dict[str, float]:
    clock, took = SystemClock(), dict[str, float]()
    environment = {**peers.environment(""), "RESTIC_PASSWORD": PASSWORD}
    for name, argv in COMMANDS.items():
        many = f"{backend}.connections={max(connections, 2) if argv[0] == 'prune' else connections}"  # with one it refuses to prune
        command = [RESTIC, "-r", address, "--no-cache", "-o", "s3.bucket-lookup=path", "-o", many, *argv]
        started = clock.monotonic()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        took[name] = round(clock.monotonic() - started, 2)
    return took


def _million() -> dict[str, str | float]:
    """Ask a view of a million packs for their list, as restic does at the start of each command."""
    with _served("benchmarks.viewer", str(MILLION)) as (address, cost):
        clock = SystemClock()
        started, size = clock.monotonic(), 0
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(address.removeprefix("rest:http+unix://").removesuffix(":/"))
            client.sendall(b"GET /data/ HTTP/1.1\r\nHost: view\r\nConnection: close\r\n\r\n")
            while part := client.recv(1 << 20):
                size += len(part)
        took = clock.monotonic() - started
    return {"subject": "a million packs listed", "list_s": round(took, 2), "list_mib": size >> 20, **cost}


def _presign() -> dict[str, str | float]:
    clock = SystemClock()
    presigner = Presigner("https://bucket.s3.eu-central-1.amazonaws.com/", Credentials("A" * 20, "s" * 40), "eu-central-1", clock)
    started = clock.monotonic()
    for number in range(URLS):
        presigner.url(f"bench/data/ab/{number:064x}", f"{number:032x}", 3600)
    return {"subject": "presigned URLs", "urls_a_second": round(URLS / (clock.monotonic() - started))}


@contextmanager
def _served(module: str, *arguments: str, endpoint: str = "") -> Iterator[tuple[str, dict[str, float]]]:
    """Run a module of ours as a process of its own; yield what it prints, and fill in what it cost when it has ended."""
    command, cost = [sys.executable, "-m", module, *arguments], dict[str, float]()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=peers.environment(endpoint))
    its_input, its_output = process.stdin or sys.stdin, process.stdout or sys.stdin
    try:
        yield its_output.readline().strip(), cost
    finally:
        its_input.close()
        its_output.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cost |= {"view_cpu_s": round(usage.ru_utime + usage.ru_stime, 1), "view_mib": usage.ru_maxrss >> 10}
