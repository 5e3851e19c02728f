"""The sandbox's life: start in the background, status, clock, stop. A directory holds all of it, and ends with it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from maintainer.core.errors import SandboxError
from maintainer.edges.clock import Clock, read_offset, write_offset
from maintainer.sandbox import image, plant, processes, snapshots
from maintainer.sandbox.provision import BUCKET, LOCAL, REGION, STATE_BUCKET, Credentials, provision, write_files

STOP_LIMIT_S = 10
SERVICES = "s3,iam,sts,ssm,secretsmanager,kms,ecr,ecs,logs,monitoring,scheduler,sns,sqs"
"""What Terraform's modules use, EC2 aside."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox, as `sandbox start --json` prints it; `pid` is the endpoint's."""

    endpoint: str
    region: str
    bucket: str
    state_bucket: str
    credentials: dict[str, Credentials]
    config: str
    directory: str
    pid: int
    ec2_endpoint: str = ""

    def encode(self) -> str:
        """Write it as JSON."""
        return json.dumps(asdict(self), indent=2)


WRITTEN = "maintainer.toml.written"
"""The file, in a sandbox's directory, with the configuration as it was written: what differs from it a person has edited."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a sandbox is to have. The store holds every answer back for `latency_ms`. `builder`: also what makes an image in EC2."""

    machines: bool = True
    systemd: bool = True
    latency_ms: int = 0
    builder: bool = False


def default_directory() -> Path:
    """Return where a sandbox lives unless told otherwise (XDG base directories)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "maintainer" / "sandbox"


def running(directory: Path) -> Sandbox | None:
    """Return the sandbox in the directory if it lives: its lock is held for as long as its endpoint runs."""
    if not processes.is_held(directory / "lock"):
        return None
    try:
        raw = json.loads((directory / "sandbox.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Sandbox(**{**raw, "credentials": {name: Credentials(**key) for name, key in raw["credentials"].items()}})


def start(directory: Path, clock: Clock, wanted: Wanted = Wanted()) -> Sandbox:
    """Start an endpoint and fill it; one that runs already is returned as it is, one that died is cleaned away first.

    With machines also EC2, and the hypervisor that boots what EC2 launches: a hypervisor that died is started again.
    """
    if (alive := running(directory)) is not None:
        if alive.ec2_endpoint:
            plant.start_hypervisor(directory)
        return alive
    keep_edited(directory, clock)
    stop(directory, clock)
    built = image.build(image.cache()) if wanted.machines else None
    stock = snapshots.stock(image.cache()) if wanted.builder else None
    directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    directory.chmod(0o700)
    (directory / "owner").write_text("maintainer sandbox\n", encoding="utf-8")
    write_offset(directory / "clock", 0)
    port = processes.free_port()
    endpoint = f"http://127.0.0.1:{port}"
    pid = _spawn(directory, port, wanted.latency_ms)
    try:
        processes.wait_until_healthy(f"{endpoint}/_ministack/health", pid, clock, directory / "endpoint.log")
        credentials = provision(endpoint)
        compute = plant.start(directory, endpoint, built, clock, systemd=wanted.systemd, stock=stock) if built else None
        config = write_files(directory, endpoint, credentials, compute.section() if compute else LOCAL)
        ec2_endpoint = compute.ec2_endpoint if compute else ""
        (directory / WRITTEN).write_text(config.read_text(encoding="utf-8"), encoding="utf-8")
        made = Sandbox(endpoint, REGION, BUCKET, STATE_BUCKET, credentials, str(config), str(directory), pid, ec2_endpoint)
        state = directory / "sandbox.json"
        state.touch(mode=0o600)
        state.write_text(made.encode(), encoding="utf-8")
    except BaseException:
        stop(directory, clock)
        raise
    return made


def keep_edited(directory: Path, clock: Clock) -> Path | None:
    """Copy a configuration that a person has edited to beside the sandbox's directory; return where to, None for one that nobody has.

    What a sandbox holds goes with it. What a person wrote is not the sandbox's; a # that was taken away is nothing that somebody wrote.
    """
    config, written = directory / "maintainer.toml", directory / WRITTEN
    if not config.exists() or not written.exists() or _uncommented(config) == _uncommented(written):
        return None
    kept = directory.with_name(f"{directory.name}-{clock.now():%Y%m%dT%H%M%S}.toml")
    kept.write_bytes(config.read_bytes())
    return kept


def _uncommented(file: Path) -> list[str]:
    return [line.removeprefix("# ") for line in file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()]


def stop(directory: Path, clock: Clock) -> bool:
    """End all that runs there and remove the directory, whatever of it was dead already; return whether the endpoint was running."""
    was_running = running(directory) is not None
    if (directory / "owner").exists():
        plant.stop(directory, clock)
        processes.end(directory / "lock", clock, STOP_LIMIT_S)
    _clean(directory)
    return was_running


def move_clock(directory: Path, seconds: float) -> None:
    """Set how far the sandbox's time is ahead of the real one, for the endpoint and for every command that uses its configuration."""
    if running(directory) is None:
        raise SandboxError("no sandbox is running", guidance="start one: maintainer sandbox start")
    if _faketime() is None:
        raise SandboxError("libfaketime is not installed", guidance="apt-get install libfaketime, then stop and start the sandbox")
    before = read_offset(directory / "clock")
    if seconds < before:
        raise SandboxError(
            f"the sandbox's time is {before:.0f} s ahead of the real one already, and time does not run backwards",
            guidance="give an offset from the real time that is larger, or stop and start the sandbox",
        )
    write_offset(directory / "clock", seconds)


def _spawn(directory: Path, port: int, latency_ms: int) -> int:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "SERVICES": SERVICES,
        # Or these listen on every address.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "S3_DATA_DIR": str(directory / "objects"),
        "TMPDIR": str(directory),
        "PYTHONUNBUFFERED": "1",
    }
    if (faketime := _faketime()) is not None:
        environment |= {
            "LD_PRELOAD": str(faketime),
            "FAKETIME_TIMESTAMP_FILE": str(directory / "clock"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
    return processes.start("maintainer.sandbox.endpoint", [str(directory), str(latency_ms)], directory / "endpoint.log", environment)


def _faketime() -> Path | None:
    places = [Path(sys.prefix) / "lib", *Path("/usr/lib").glob("*-linux-gnu*")]
    return next((found for place in places if (found := place / "faketime" / "libfaketime.so.1").exists()), None)


def _clean(directory: Path) -> None:
    """Remove what an ended sandbox left; never a directory that no sandbox made."""
    if not directory.exists() or not any(directory.iterdir()):
        return
    if not (directory / "owner").exists():
        raise SandboxError(f"{directory} is not empty, and no sandbox's", guidance="give an empty directory: --directory")
    grave = directory.with_name(f"{directory.name}.{secrets.token_hex(4)}")
    directory.rename(grave)
    shutil.rmtree(grave)
