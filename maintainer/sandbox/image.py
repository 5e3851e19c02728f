"""The sandbox's images: layers of a file system, made by the same script that makes an AMI, and named by the digest of what went in.

An image is two layers: the base (Debian, restic, the agent's dependencies), made rarely, and maintainer itself on top, made anew
with every change of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from maintainer.core.errors import SandboxError
from maintainer.sandbox import namespaces

SUITE = "trixie"
PYTHON = "3.13"
"""That suite's."""
KEPT = 4
"""Images that stay in the cache, with the bases below them."""
_GLIBC = ("_2_39", "_2_34", "_2_28", "_2_17", "2014")
"""What follows `manylinux` in the wheels' tags that the suite's glibc takes: the last is an older name of the one before."""
_POWER = ("poweroff", "halt", "shutdown", "reboot")
_MASKED = (
    "systemd-modules-load.service",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "console-getty.service",
    "systemd-logind.service",
)
"""Units that have nothing to do, or nothing to do it with, in a machine that is made of namespaces."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GUEST = Path(str(files("maintainer.sandbox") / "guest"))


@dataclass(frozen=True, slots=True)
class Image:
    """A built image. `layers` are directories, the topmost first; `digest` is the SHA-256 of what was provisioned into it."""

    image_id: str
    digest: str
    layers: tuple[str, ...]


def cache() -> Path:
    """Return where images are kept (XDG base directories)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maintainer" / "images"


def built(folder: Path) -> list[Image]:
    """Return the images in the cache, the newest first."""
    found = sorted(folder.glob("ami-*/image.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [Image(path.parent.name, json.loads(path.read_bytes())["digest"], _layers(folder, path.parent)) for path in found]


def kit(directory: Path, machine: str = "") -> str:
    """Fill a new directory with all that provision.sh takes for this checkout's image, on whatever Debian 13; return the image's digest.

    `machine` is the kernel's name of the architecture; this machine's where it is left out.
    """
    source = checkout()
    base_digest, digest = _digests(source)
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise SandboxError(f"{directory}: {error.strerror}", guidance="name a directory that can be made, and is not there yet") from error
    with work_below(directory) as work:
        give_base(source / "cloudinit", directory, work, machine)
        give_agent(source, directory, work, {"image_id": "", "digest": digest, "base": base_digest})
    return digest


def digest() -> str:
    """Return the digest of this checkout's image."""
    return _digests(checkout())[1]


def build(folder: Path, source: Path | None = None) -> Image:
    """Build this checkout's image, or return it from the cache. SandboxError where the machine lacks something, or a step fails."""
    source = source or checkout()
    base_digest, digest = _digests(source)
    made = folder / f"ami-{digest[:17]}"
    base = folder / f"base-{base_digest[:17]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            if not base.exists() and shutil.which("mmdebstrap") is None:
                raise SandboxError("mmdebstrap is not installed", guidance="apt-get install mmdebstrap uidmap")
            namespaces.ids()
            if not base.exists():
                _build_base(source / "cloudinit", base)
            _build_agent(source, base, made, digest)
        os.utime(made / "image.json")
        for old in built(folder)[KEPT:]:
            remove(folder / old.image_id)
        for old_base in set(folder.glob("base-*")) - {Path(kept.layers[-1]) for kept in built(folder)}:
            remove(old_base)
    return Image(made.name, digest, _layers(folder, made))


def checkout() -> Path:
    """Return the checkout that this maintainer runs from."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "cloudinit/provision.sh").exists():
        raise SandboxError(
            "an image is built from a checkout, and this is an installed maintainer", guidance="git clone it, and run script/setup"
        )
    return root


def _layers(folder: Path, made: Path) -> tuple[str, ...]:
    return (str(made / "upper"), str(folder / json.loads((made / "image.json").read_bytes())["base"]))


def _digests(source: Path) -> tuple[str, str]:
    """Return the digests of all that goes into the base, and into the image."""
    base = _digest(source, ["cloudinit/provision.sh", "cloudinit/requirements.lock", "cloudinit/restic.lock"], SUITE)
    return base, _digest(source, ["cloudinit", "maintainer", "pyproject.toml"], base)


def _digest(source: Path, what: list[str], before: str) -> str:
    hashed = hashlib.sha256(before.encode())
    for path in sorted(path for one in what for path in ([source / one] if (source / one).is_file() else (source / one).rglob("*"))):
        if path.is_file() and path.suffix != ".pyc":
            name = path.relative_to(source).as_posix()
            hashed.update(f"{name} {path.stat().st_mode & 0o111} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return hashed.hexdigest()


def give_base(cloudinit: Path, given: Path, work: Path, machine: str = "") -> None:
    """Put there what `provision.sh base` takes."""
    for name in ("provision.sh", "requirements.lock", "restic.lock"):
        shutil.copy(cloudinit / name, given)
    platforms = [f"--platform=manylinux{glibc}_{machine or os.uname().machine}" for glibc in _GLIBC]
    wanted = ["--only-binary=:all:", f"--python-version={PYTHON}", *platforms, "--no-deps", "--require-hashes"]
    _pip(work, "download", "-r", str(given / "requirements.lock"), *wanted, "--dest", str(given / "wheels"))


def give_agent(source: Path, given: Path, work: Path, said: dict[str, str]) -> None:
    """Put there what `provision.sh agent` takes; `said` is what the image says of itself."""
    shutil.copy(source / "cloudinit/provision.sh", given)
    _pip(work, "wheel", "--no-deps", "--wheel-dir", str(given / "wheels"), str(source))
    (given / "image.json").write_text(json.dumps(said) + "\n", encoding="utf-8")


def _build_base(cloudinit: Path, base: Path) -> None:
    with work_below(base.parent) as work:
        given = work / "given"
        given.mkdir()
        give_base(cloudinit, given, work)
        bootstrap(work, given, 'chroot "$1" sh /srv/given/provision.sh base /srv/given', work / "base.tar")
        unpack(work, work / "base.tar", work / "root")
        (work / "root").rename(base)


def bootstrap(work: Path, given: Path, hook: str, target: Path, *more: str, env: Mapping[str, str] | None = None) -> None:
    """Write a tar of a Debian in which a hook has run that finds `given` as /srv/given; `more` are options of mmdebstrap."""
    _do(
        work,
        "mmdebstrap",
        "--variant=apt",
        *('--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"'),
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale", "info")),
        *more,
        '--customize-hook=mkdir "$1/srv/given"',
        f"--customize-hook=sync-in {given} /srv/given",
        f"--customize-hook={hook}",
        '--customize-hook=rm -r "$1/srv/given"',
        SUITE,
        str(target),
        env=env,
    )


def unpack(work: Path, archive: Path, root: Path) -> None:
    """Unpack a tar, in a work directory, by the machines' own root, so that every file has an owner that they know."""
    root.mkdir(mode=0o755)
    _own(root)
    tar = ["tar", "-C", "/proc/self/fd/10", "-xpf", f"/proc/self/fd/11/{archive.name}", "--numeric-owner", "--exclude=./dev/*"]
    _inside(work, tar, {"PATH": PATH}, [root, work])


def _build_agent(source: Path, base: Path, made: Path, digest: str) -> None:
    with work_below(base.parent) as work:
        given, state = work / "given", work / "state"
        given.mkdir()
        give_agent(source, given, work, {"image_id": made.name, "digest": digest, "base": base.name})
        prepare(state)
        environment, directories = surroundings(state, (str(base),), "00000000-0000-4000-8000-000000000000", shared=given)
        shutil.copy(source / "cloudinit/restic.lock", given)
        steps = "for step in agent verify; do sh /mnt/provision.sh $step /mnt || exit; done"
        _inside(work, ["sh", "/proc/self/fd/10/enter", "sh", "-c", steps], environment, directories)
        shutil.copy(given / "image.json", state)
        for name in ("work", "root"):
            remove(state / name)
        state.rename(made)


def prepare(state: Path) -> None:
    """Make the directories that an overlay needs, owned by the machine's own root."""
    state.mkdir(mode=0o755)
    for name in ("upper", "work", "root"):
        (state / name).mkdir(mode=0o755)
        _own(state / name)


def surroundings(state: Path, layers: tuple[str, ...], uuid: str, shared: Path | None = None) -> tuple[dict[str, str], list[Path]]:
    """Return the environment that `guest/enter` reads, and the directories that go with it: its own folder first."""
    directories = [GUEST, state, *map(Path, layers), *([shared] if shared else [])]
    names = [f"/proc/self/fd/{namespaces.FIRST_DIRECTORY + at}" for at in range(len(directories))]
    environment = {
        "PATH": PATH,
        "STATE": names[1],
        "LAYERS": ":".join(names[2 : 2 + len(layers)]),
        "OPTIONS": ",userxattr",
        "UUID": uuid,
        "SHARED": names[-1] if shared else "",
        "GROUP": "",
    }
    return environment, directories


def _own(path: Path) -> None:
    zero = namespaces.ids().zero
    os.chown(path, zero, zero if os.geteuid() == 0 else -1, follow_symlinks=False)


@contextmanager
def work_below(folder: Path) -> Iterator[Path]:
    """Yield a directory beside the cache's own, so that what is made can be renamed into place, whole or not at all."""
    work = Path(tempfile.mkdtemp(prefix="build-", dir=folder))
    work.chmod(0o755)
    try:
        yield work
    finally:
        remove(work)


def remove(directory: Path) -> None:
    """Remove a tree whose files may belong to ids that only the namespace's root may remove."""
    if os.geteuid() != 0 and directory.exists():
        _inside(None, ["sh", "-c", "rm -rf /proc/self/fd/10/*"], {"PATH": PATH}, [directory])
    with suppress(FileNotFoundError):
        shutil.rmtree(directory)


def _pip(work: Path, *arguments: str) -> None:
    _do(work, sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def _do(work: Path, *argv: str, env: Mapping[str, str] | None = None) -> None:
    """Run a tool of this machine; SandboxError quotes its last words. `env` is beside this process's own."""
    done = subprocess.run(  # noqa: S603 - tools of ours, without a shell
        argv,
        cwd=work,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SandboxError(f"{Path(argv[0]).name} failed while building the image", guidance=_last_words(done.stdout))


def _inside(work: Path | None, argv: list[str], environment: dict[str, str], directories: list[Path]) -> None:
    with tempfile.TemporaryFile(dir=work) as output:
        status = namespaces.spawn(argv, environment, output.fileno(), directories).wait()
        output.seek(0)
        if status != 0:
            raise SandboxError("a step of the image failed", guidance=_last_words(output.read().decode(errors="replace")))


def _last_words(text: str) -> str:
    return f"its last words: {text.strip()[-1500:]}"


def seed(folder: Path) -> None:
    """Make the layers that turn an image into a machine of the sandbox, one for each PID 1: folder/systemd and folder/script.

    They lie over the image, so that a change of them rebuilds nothing.
    """
    for init in ("systemd", "script"):
        layer = folder / init
        _give(layer, "usr/sbin/sandbox-net", GUEST / "net")
        _give(layer, "etc/cloud/cloud.cfg.d/90-sandbox.cfg", GUEST / "90-sandbox.cfg", 0o644)
        for name in ("dhcpcd", "dhclient", "udhcpc"):
            # cloud-init would ask for a lease for half a minute: a client that can not be executed is none.
            _give(layer, f"usr/sbin/{name}", Path(os.devnull), 0o644)
        # Of use in a builder alone, whose subnet has a way to a mirror of Debian's.
        _give(layer, "etc/apt/apt.conf.d/90-sandbox", GUEST / "90-sandbox.apt", 0o644)
    _give(folder / "script", "usr/sbin/sandbox-init", GUEST / "init")
    for name in _POWER:
        _give(folder / "script", f"usr/sbin/{name}", GUEST / "poweroff")
        (folder / "systemd/usr/sbin" / name).symlink_to("../bin/systemctl")  # as Debian's systemd-sysv has it
    units = folder / "systemd/etc/systemd/system"
    units.mkdir(parents=True)
    for name in _MASKED:
        (units / name).symlink_to(os.devnull)
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
        _own(path)


def _give(layer: Path, target: str, source: Path, mode: int = 0o755) -> None:
    path = layer / target
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(source.read_bytes())
    path.chmod(mode)
