"""Reading and hashing versions, as revert looks at them: beside the network alone, SHA-256 alone, and the least that does both."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from urllib.parse import urlsplit

from benchmarks import peers
from benchmarks.bucket import BUCKET, ROOT
from benchmarks.result import Result
from maintainer.core.job import Access
from maintainer.core.versions import ObjectVersion
from maintainer.edges.clock import SystemClock
from maintainer.edges.objectstore import WORKERS, S3Store
from maintainer.edges.s3 import S3

ROUNDS = 5
BUFFER = 1 << 20
CORES = os.cpu_count() or 1


def measure() -> Result:
    """Read 128 packs of 16 MiB in each way, over a network of 10 Gbit/s, and as fast as two cores can send and take them."""
    rows: list[dict[str, str | float]] = []
    ratios: dict[str, float] = {}
    for scene in ("large, 10 Gbit/s", "large"):
        rates, grown = _race(scene)
        rows += [{"subject": f"{name}, {scene}", "mb_a_second": round(rate)} for name, rate in rates.items()]
        rows.append({"subject": f"memory, all ways, {scene}", "grown_mib": grown >> 10})
        allowed = min(rates["network alone"], rates["SHA-256 alone, all cores"])
        ratios[f"ours/min(network, cores x SHA-256), {scene}"] = round(rates["ours"] / allowed, 2)
        ratios[f"ours/the least that does both, {scene}"] = round(rates["ours"] / rates["the least that does both"], 2)
    return Result("hashing", rows, ratios)


def _race(scene: str) -> tuple[dict[str, float], int]:
    """Return the rate of each way in MB a second, in turns that change places, and by how many KiB this process has grown."""
    serve = [sys.executable, "-m", "benchmarks.bucket", scene, os.devnull]
    with subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bucket:
        endpoint = (bucket.stdout or sys.stdin).readline().strip()
        os.environ.update(peers.environment(endpoint))
        store = S3Store(S3(Access(endpoint=endpoint)), BUCKET, ROOT.rstrip("/"), SystemClock().now)
        versions = list(store.survey())
        in_memory = random.Random(2).randbytes(versions[0].size)
        ways: dict[str, tuple[int, Callable[[ObjectVersion], object]]] = {
            "SHA-256 alone, all cores": (CORES, lambda _: hashlib.sha256(in_memory).digest()),
            "network alone": (WORKERS, lambda version: _read(endpoint, version, lambda _: None)),
            "the least that does both": (WORKERS, lambda version: _read(endpoint, version, hashlib.sha256().update)),
            "ours": (WORKERS, store.look),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for turn in range(ROUNDS):
            for name, (workers, way) in sorted(ways.items(), reverse=bool(turn % 2)):
                rates[name].append(_rate(versions, workers, way))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        bucket.communicate()
    return {name: median(some) for name, some in rates.items()}, grown


def _rate(versions: Iterable[ObjectVersion], workers: int, way: Callable[[ObjectVersion], object]) -> float:
    clock, wanted = SystemClock(), list(versions)
    started = clock.monotonic()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(way, wanted))
    return sum(version.size for version in wanted) / 1e6 / (clock.monotonic() - started)


def _read(endpoint: str, version: ObjectVersion, see: Callable[[memoryview], object]) -> None:
    """Read one version by a socket and a buffer, without a library between."""
    url = urlsplit(endpoint)
    with socket.create_connection((str(url.hostname), int(url.port or 80))) as client:
        target = f"/{BUCKET}/{ROOT}{version.key}?versionId={version.version_id}"
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        buffer = memoryview(bytearray(BUFFER))
        head = client.recv(4096)
        got = len(head) - head.index(b"\r\n\r\n") - 4
        see(memoryview(head)[len(head) - got :])
        while got < version.size:
            count = client.recv_into(buffer)
            see(buffer[:count])
            got += count
