"""Two groups on two machines side by side, and secrets that are nowhere on the way."""

from __future__ import annotations

import base64
import gzip
import subprocess
import time
from pathlib import Path

from tests.support.instances import Fleet


def test_two_groups_are_maintained_side_by_side_and_no_secret_is_seen(park: Fleet) -> None:
    text = Path(park.sandbox.config).read_text()
    section = text[text.index("[group.sandbox]") :]
    Path(park.sandbox.config).write_text(text + section.replace("group.sandbox", "group.second"))
    repositories = [park.repository("web"), park.repository("db", "second")]
    for one in repositories:
        for key in one.objects("data/"):
            one.put(key, b"garbage")
    process = park.start("run", "--once", "--json")
    listings: list[str] = []
    most = 0
    while process.poll() is None:
        listings.append(subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout)
        most = max(most, len(park.machines()))
        time.sleep(0.2)
    output, errors = process.communicate()
    assert process.returncode == 3, output + errors
    assert most == 2
    for one in repositories:
        one.verify(next(iter(one.trees)))
    park.nothing_is_left()

    launched = park.instances(living=False)
    assert len(launched) == 2
    ec2 = park.plant.client("ec2")
    sent = [
        base64.b64decode(ec2.describe_instance_attribute(InstanceId=one["InstanceId"], Attribute="userData")["UserData"]["Value"])
        for one in launched
    ]
    user_data = "".join(gzip.decompress(one).decode() for one in sent)
    assert user_data.count("ssm:/maintainer/") == 2
    consoles = "".join(path.read_text(errors="replace") for path in park.directory.glob("machines/*/console.log"))
    assert consoles.count("Cloud-init") > 2
    kept = "".join(park.call("logs", "last", "--json", "--repository", name)[1] for name in ("web", "db"))
    assert kept.count("run.committed") == 2
    told = "\n".join([output, errors, kept, consoles, user_data, *listings])
    secrets = [repositories[0].password, *(key.secret_access_key for key in park.sandbox.credentials.values())]
    for word in secrets:
        assert word not in told
    # The login key never leaves the controller: what user data holds is one private key a machine, the host's own.
    assert user_data.count("BEGIN OPENSSH PRIVATE KEY") == 2
    assert "PRIVATE KEY" not in told.replace(user_data, "")
