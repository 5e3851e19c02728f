"""A machine: real cloud-init, real sshd, its own metadata service, and no way out but the endpoints named."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from maintainer.agent.instance import METADATA
from maintainer.edges.procfs import started_at
from maintainer.sandbox.daemon import Sandbox
from tests.support.machines import boot, wait
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.matrix  # of each test with systemd, or with a script as PID 1


@pytest.fixture(params=[True, False], ids=["systemd", "script"])
def systemd(request: pytest.FixtureRequest) -> bool:
    """Return whether the machine's PID 1 may be systemd: it is where this machine lets it have a control group."""
    return bool(request.param)


def test_cloud_init_does_what_user_data_says_and_sshd_lets_in_the_run_s_key(sandbox: Sandbox, tmp_path: Path, systemd: bool) -> None:
    with boot(
        sandbox, tmp_path, "write_files: [{path: /run/made, content: by cloud-init}]", "runcmd: [echo ran >> /run/made]", systemd=systemd
    ) as machine:
        wait(lambda: "finished at" in machine.console(), machine.directory)
        assert machine.sh("cat /run/made") == "by cloud-initran\n"
        result = json.loads(machine.sh("cat /run/cloud-init/result.json"))["v1"]
        assert result["errors"] == []
        assert "Ec2" in result["datasource"]
        assert machine.sh("id -un; sudo -n id 2>&1").splitlines()[0] == "maintainer"


def test_the_metadata_service_wants_tokens_and_gives_the_role_s_own_keys(sandbox: Sandbox, tmp_path: Path, systemd: bool) -> None:
    patience = " ".join(f"{name}={value}" for name, value in METADATA.items())  # as an agent has it: a busy machine takes a second
    fetch = f"""
{patience} /opt/maintainer/bin/python - <<'PY'
import boto3
s3 = boto3.client("s3", endpoint_url="{sandbox.endpoint}", region_name="us-east-1")
print(s3.put_object(Bucket="{sandbox.state_bucket}", Key="machine", Body=b"x")["ResponseMetadata"]["HTTPStatusCode"])
try:
    s3.put_bucket_versioning(Bucket="{sandbox.bucket}", VersioningConfiguration={{"Status": "Suspended"}})
except Exception as error:
    print(error.response["Error"]["Code"])
PY
"""
    with boot(sandbox, tmp_path, systemd=systemd) as machine:
        ask = "/opt/maintainer/bin/python -c 'import urllib.request as u; u.urlopen(\"http://169.254.169.254/latest/meta-data/\")' 2>&1 | tail -1"
        assert "401" in machine.sh(ask)
        assert machine.sh(fetch).splitlines() == ["200", "AccessDenied"]


def test_a_spot_notice_and_a_rebalance_recommendation_are_404_until_they_come(sandbox: Sandbox, tmp_path: Path, systemd: bool) -> None:
    ask = """
/opt/maintainer/bin/python - <<'PY'
from urllib.error import HTTPError
from urllib.request import Request, urlopen
at = "http://169.254.169.254/latest/"
token = urlopen(Request(at + "api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})).read().decode()
for path in ("spot/instance-action", "events/recommendations/rebalance"):
    try:
        print(urlopen(Request(at + "meta-data/" + path, headers={"X-aws-ec2-metadata-token": token})).read().decode())
    except HTTPError as error:
        print(error.code)
PY
"""
    with boot(sandbox, tmp_path, systemd=systemd) as machine:
        assert machine.sh(ask).splitlines() == ["404", "404"]
        notices = machine.directory / "notices"
        notices.mkdir()
        (notices / "instance-action").write_text('{"action": "terminate", "time": "2026-01-01T00:02:00Z"}')
        (notices / "rebalance").write_text('{"noticeTime": "2026-01-01T00:00:00Z"}')
        action, rebalance = (json.loads(line) for line in machine.sh(ask).splitlines())
        assert action["action"] == "terminate"
        assert rebalance == {"noticeTime": "2026-01-01T00:00:00Z"}


def test_there_is_no_way_out_but_the_endpoints_named(sandbox: Sandbox, tmp_path: Path, systemd: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, boot(sandbox, tmp_path, systemd=systemd) as machine:
        port = other.getsockname()[1]
        reach = '/opt/maintainer/bin/python -c \'import socket; socket.create_connection(("{}", {}), 3); print("reached")\' 2>&1 | tail -1'
        here = sandbox.endpoint.rpartition(":")[2]
        assert machine.sh(reach.format("127.0.0.1", here)) == "reached\n"
        assert "refused" in machine.sh(reach.format("127.0.0.1", port))
        assert "unreachable" in machine.sh(reach.format("1.1.1.1", 443))


def test_poweroff_inside_ends_it_and_kill_9_of_its_supervisor_leaves_no_process(sandbox: Sandbox, tmp_path: Path, systemd: bool) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with boot(
        sandbox, tmp_path / "one", 'runcmd: ["until [ -e /tmp/go ]; do sleep 0.05; done; shutdown -P now"]', systemd=systemd
    ) as machine:
        machine.sh("touch /tmp/go")
        assert machine.process.wait(PATIENCE_S) == 0
    with boot(sandbox, tmp_path / "two", systemd=systemd) as machine:
        init = machine.init()
        assert started_at(init) is not None
        machine.process.kill()
        machine.process.wait()
        wait(lambda: started_at(init) is None, machine.directory)
        assert str(tmp_path) not in Path("/proc/mounts").read_text()
        assert not [path for path in Path("/proc").glob("[0-9]*") if str(tmp_path).encode() in _command(path)]


def test_a_reboot_boots_it_again_with_its_disk(sandbox: Sandbox, tmp_path: Path, systemd: bool) -> None:
    with boot(
        sandbox, tmp_path, 'bootcmd: ["echo boot >> /var/boots; echo $(wc -l < /var/boots) boots so far"]', systemd=systemd
    ) as machine:
        wait(lambda: "1 boots so far" in machine.console(), machine.directory)
        os.kill(machine.init(), signal.SIGINT)  # ctrl-alt-delete
        wait(lambda: "2 boots so far" in machine.console(), machine.directory)


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
