"""The gateway as a machine: launched from the pinned image, recycled under a backup, and never replaced by one that does not answer."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from maintainer.cli import compute, gateway
from maintainer.controller import gateway as controller
from maintainer.core.errors import NoInstanceError
from maintainer.core.events import Event, decode
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import Recorder
from maintainer.hosts.hostfiles import read_environment
from maintainer.sandbox.plant import GATEWAY
from maintainer.sandbox.provision import root_client
from maintainer.settings.load import load
from tests.support.gateways import Guest
from tests.support.hostscripts import backs_up
from tests.support.instances import Fleet
from tests.support.patience import PATIENCE_S, until
from tests.support.repositories import RESTIC


@pytest.fixture
def front(park: Fleet) -> Iterator[Fleet]:
    """Return a fleet whose gateway has a certificate, and no instance yet; whatever is launched ends with the test."""
    path = Path(park.sandbox.config)
    before, section = path.read_text().split("# [group.sandbox.gateway]\n")
    ours, after = section.split("\n\n", 1)
    path.write_text(f"{before}[group.sandbox.gateway]\n" + ours.replace("# ", "") + f"\n\n{after}")
    park.configure('certificate = "gateway.pem"', f'certificate = "{park.root}/gateway.pem"')
    code, output, errors = park.call("gateway", "certify", "--profile", "admin")
    assert (code, errors) == (0, ""), output + errors
    yield park
    for one in park.instances():
        park.plant.client("ec2").terminate_instances(InstanceIds=[one["InstanceId"]])
    park.nothing_is_left()


def recycled(fleet: Fleet, code: int = 0, *more: str) -> list[Event]:
    ended, output, errors = fleet.call("gateway", "recycle", "--json", *more)
    events = [decode(line) for line in output.splitlines()]
    assert (ended, errors) == (code, ""), [event.fields for event in events]
    return events


def guest(fleet: Fleet, host: str) -> Guest:
    """Let a host in and make its repository; the sandbox, and so the folder that has the host's name, is that of a worker's other tests, too."""
    code, output, errors = fleet.call("gateway", "admit", host, "--profile", "admin", "--json")
    assert code == 0, errors
    told = json.loads(output)
    (fleet.root / host).mkdir()
    made = Guest(fleet.sandbox, f"hosts/{host}", fleet.root / host, host=host)
    made.let_in(told["environment"], fleet.root / "gateway.pem")
    until(lambda: made.restic("init", check=False).returncode == 0)
    return made


def status(fleet: Fleet) -> dict[str, object]:
    code, output, _ = fleet.call("gateway", "status", "--json")
    told: dict[str, object] = json.loads(output)
    assert (code == 0) == told["answers"]
    return told


def test_a_host_backs_up_through_one_machine_and_the_next_takes_over_in_the_middle(front: Fleet) -> None:
    assert status(front)["why"] == "nothing has its address"
    assert [event.event for event in recycled(front)] == ["gateway.launched", "gateway.answered", "gateway.moved"]
    (first,) = front.instances()
    assert (first["InstanceType"], first["MetadataOptions"]["HttpTokens"]) == ("t3.nano", "required")
    repository = guest(front, "web1")
    repository.write("file", 300_000, 1)
    repository.verify(repository.backup())
    assert "403" in repository.restic("forget", "latest", check=False).stderr

    repository.write("large", 6_000_000, 2)
    # By the host's own script: a file of which only the answer was lost is refused the second time, and the backup is made once more.
    ended: list[subprocess.CompletedProcess[str]] = []
    slow = 'exec "$RESTIC" --limit-upload 400 --pack-size 4 "$@"'
    backup = threading.Thread(target=lambda: ended.append(backs_up(repository, front.root / "web1", slow)))
    backup.start()
    events = recycled(front)
    assert backup.is_alive(), f"the backup was over before: {ended}"
    assert [event.event for event in events] == ["gateway.launched", "gateway.answered", "gateway.moved", "gateway.ended"]
    assert events[-1].fields["instance"] == first["InstanceId"]
    until(lambda: first["InstanceId"] not in front.machines())
    backup.join(PATIENCE_S)
    assert [(one.returncode, one.stderr) for one in ended if one.returncode] == []
    assert len(ended) == 1, "it hangs"
    assert len(repository.objects("snapshots/")) == 2
    assert "no errors" in repository.restic("check", "--read-data").stdout

    told = status(front)
    assert (told["answers"], told["pinned"], told["others"]) == (True, True, [])
    assert told["instance"] == events[0].fields["instance"]
    assert told["image_digest"] == front.plant.digest
    said = front.call("gateway", "status")[1]
    assert f"serves, for 0 h, from the pinned image, {front.plant.digest[:12]}" in said
    assert front.call("sweep", "--all")[0] == 0
    assert len(front.instances()) == 1, "a sweep ends no gateway"


def test_enroll_lets_a_host_in_by_the_gateway_and_it_holds_no_key_of_the_bucket(front: Fleet) -> None:
    front.configure('passwords = "ssm:/maintainer/sandbox"', 'passwords = "ssm:/maintainer/sandbox"\nthrough = "gateway"')
    recycled(front)
    host = f"h{uuid.uuid4().hex[:8]}"
    (front.root / "source").mkdir()
    (front.root / "source" / "file").write_text("what is to be kept")
    words = ("enroll", host, "--path", str(front.root / "source"), "--output", str(front.root), "--profile", "admin")
    assert "would get credentials" in front.call(*words, "--dry-run")[1]
    for said in ("is a repository now", "that both passwords open"):
        code, output, errors = front.call(*words)
        assert (code, errors) == (0, ""), output + errors
        assert said in output
    written = read_environment(front.root / host / "offsite.env")
    assert not any(name.startswith("AWS_") for name in written)
    assert written["RESTIC_REST_PASSWORD"] not in written["RESTIC_REPOSITORY"], "which stands in command lines"
    assert (front.root / host / "gateway.pem").read_text() == (front.root / "gateway.pem").read_text()

    def restic(*argv: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **written, "RESTIC_CACERT": str(front.root / host / "gateway.pem")}
        return subprocess.run([RESTIC, "--no-cache", *argv], env=environment, capture_output=True, text=True, check=False)

    assert restic("backup", "--host", host, str(front.root / "source")).returncode == 0
    assert "403" in restic("forget", "latest").stderr
    assert front.run("--repository", host)[0] == 0, "it is maintained on an instance, and nobody was asked"
    code, output, _ = front.call("status")
    assert (code, ": answers" in output) == (0, True), output
    front.configure('elastic_ip = "eipalloc-', 'elastic_ip = "eipalloc-0')
    code, output, _ = front.call("status")
    assert (code, "no eipalloc-0" in output) == (3, True), output
    front.configure('elastic_ip = "eipalloc-0', 'elastic_ip = "eipalloc-')
    assert front.call("retire", host, "--profile", "admin")[0] == 0
    until(lambda: "401" in restic("snapshots").stderr)


def test_a_renewed_certificate_shuts_no_host_out_and_a_new_authority_only_when_told_to(front: Fleet) -> None:
    recycled(front)
    repository = guest(front, "renewed")
    trusted = (front.root / "gateway.pem").read_text()

    def shown() -> str:
        with suppress(OSError):  # a server that changes its certificate
            return ssl.get_server_certificate((GATEWAY, front.plant.gateway_port), ssl_version=ssl.PROTOCOL_TLS_CLIENT)
        return ""

    before = shown()
    code, output, errors = front.call("gateway", "certify", "--profile", "admin", "--days", "30")
    assert (code, errors) == (0, ""), output + errors
    assert (front.root / "gateway.pem").read_text() == trusted
    until(lambda: shown() not in {before, ""})
    assert repository.restic("snapshots", check=False).returncode == 0, "it trusts what it trusted"
    assert status(front)["certificate_days"] == 29
    assert "certify renews it, and no host need know" in front.call("gateway", "status")[1]

    ssm, authority = root_client("ssm", front.sandbox.endpoint), "/maintainer-authority/sandbox"
    kept = ssm.get_parameter(Name=authority, WithDecryption=True)["Parameter"]["Value"]
    for damaged in ("nonsense", shown(), kept.partition("-----BEGIN CERT")[0] + shown()):
        ssm.put_parameter(Name=authority, Value=damaged, Type="SecureString", Overwrite=True)
        code, _, errors = front.call("gateway", "certify", "--profile", "admin")
        assert (code, "shut out" in errors) == (2, True), errors
    ssm.put_parameter(Name=authority, Value=kept, Type="SecureString", Overwrite=True)
    (front.root / "gateway.pem").write_text(shown())
    assert "shut out" in front.call("gateway", "certify", "--profile", "admin")[2]
    code, output, _ = front.call("gateway", "certify", "--profile", "admin", "--replace")
    assert (code, "give it to the hosts" in output) == (0, True), output
    until(lambda: "certificate" in repository.restic("snapshots", check=False).stderr)


def test_one_that_does_not_answer_takes_nothing_over(front: Fleet) -> None:
    recycled(front)
    before = status(front)["instance"]
    pem = (front.root / "gateway.pem").read_text()
    root_client("ssm", front.sandbox.endpoint).put_parameter(
        Name="/maintainer/gateway/sandbox/tls", Value=pem, Type="SecureString", Overwrite=True
    )  # without its private key
    events = recycled(front, 5, "--within", "15")
    assert [event.event for event in events] == ["gateway.launched", "run.failed"]
    assert "did not come" in str(events[-1].fields["reason"])
    assert [one["InstanceId"] for one in front.instances()] == [before]


@pytest.mark.matrix
@pytest.mark.parametrize(("when", "has_effect"), [("after-call", True), ("before-call", False)])
def test_whoever_has_the_address_goes_on_when_the_answer_to_the_move_is_lost(front: Fleet, when: str, has_effect: bool) -> None:
    recycled(front)
    before = str(status(front)["instance"])
    chosen = load(Path(front.sandbox.config))
    (section,) = [group.gateway for group in chosen.groups if group.gateway is not None]
    told: list[Event] = []
    recorder = Recorder("r", "controller", SystemClock(), told.append)
    ec2 = compute.ec2(chosen, recorder)

    def lose(**_: Any) -> None:
        raise ReadTimeoutError(endpoint_url="https://ec2")

    ec2._client.meta.events.register(f"{when}.ec2.AssociateAddress", lose)
    with pytest.raises(NoInstanceError, match="AssociateAddress"):
        controller.recycle(gateway.of(chosen, "sandbox", section), "r", ec2, SystemClock(), recorder, within_s=60)
    new = next(str(event.fields["instance"]) for event in told if event.event == "gateway.launched")
    until(lambda: bool(status(front)["answers"]))
    found = status(front)
    # The old one is not ended by who can not know that the new one serves: the next recycling does.
    assert (found["instance"], found["others"]) == ((new, [before]) if has_effect else (before, []))
    recycled(front)
    assert len(front.instances()) == 1


def test_nobody_else_s_network_is_let_in(front: Fleet) -> None:
    recycled(front)
    until(lambda: bool(status(front)["answers"]))
    with socket.create_connection((GATEWAY, front.plant.gateway_port), 10, source_address=("127.0.0.7", 0)) as named:
        named.settimeout(1)
        with pytest.raises(TimeoutError):
            named.recv(1)
    with socket.create_connection((GATEWAY, front.plant.gateway_port), 10, source_address=("127.1.0.7", 0)) as other:
        other.settimeout(10)
        assert other.recv(1) == b""


@pytest.mark.parametrize(
    ("found", "wanted", "says"),
    [
        ('elastic_ip = "eipalloc-', 'elastic_ip = "eipalloc-0', "no eipalloc-0"),
        ("[group.sandbox.gateway]", "[group.sandbox.gate]", "gateway"),
        ('address = "127.9.0.1"', 'address = "https://127.9.0.1"', "there is TLS always"),
        ('certificate = "', 'tls = ""\ncertificate = "', "no parameter; expected a source"),
        ('certificate = "', 'certificate = "/nowhere', "can not be read"),
    ],
)
def test_a_mistake_is_told_before_anything_is_launched(front: Fleet, found: str, wanted: str, says: str) -> None:
    front.configure(found, wanted)
    code, output, errors = front.call("gateway", "recycle")
    assert code == 2
    assert says in output + errors
    assert not front.instances()
