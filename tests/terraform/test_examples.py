"""Every example, from an empty account to one that holds nothing but the backups."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from maintainer.sandbox.daemon import Sandbox
from tests.support import trust
from tests.support.accounts import Account, Caller
from tests.support.buckets import client
from tests.support.gateways import Guest
from tests.support.instances import Fleet, fleet, shown
from tests.support.patience import until
from tests.support.policies import Request, may
from tests.support.repositories import Repository
from tests.support.terraform import Root

pytestmark = pytest.mark.timeout(900)  # Terraform's provider alone waits for a minute in each apply
LOOPBACK = "127.9.0.0/24"
"""Machines of a sandbox have addresses on loopback."""
CONTROLLER = f"acme/maintainer@sha256:{'0' * 64}"


def back_up_twice(repository: Repository) -> None:
    repository.restic("init")
    for seed in (1, 2):
        repository.write("file", 150_000, seed)
        repository.backup()


def forget_in_vain(repository: Repository) -> None:
    """Unlock, which a host may; then forget and prune, which it may not: whatever restic says, nothing is gone."""
    before = set(repository.objects())
    repository.restic("unlock")
    said = repository.restic("forget", "--keep-last", "1", "--prune", check=False)
    assert "AccessDenied" in said.stderr or "Access Denied" in said.stderr or said.returncode, said.stderr
    assert {key for key in before if not key.startswith("locks/")} <= set(repository.objects())


def overwrite(repository: Repository) -> int:
    """Put garbage over every pack and index, with the host's own key; return how many that were."""
    victims = [*repository.objects("data/"), *repository.objects("index/"), "config"]
    for key in victims:
        repository.put(key, os.urandom(200))
    return len(victims)


def loosened_by_hand(root: Root, sandbox: Sandbox) -> None:
    """Give a host and the maintenance role more than they have, and open the bucket: the next plan names it, the next apply takes it away."""
    iam, s3 = (Account(sandbox, root.directory).client(service) for service in ("iam", "s3"))
    everything = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
    iam.put_user_policy(UserName="acme-backups-web", PolicyName="more", PolicyDocument=everything)
    iam.put_role_policy(RoleName="maintainer-servers", PolicyName="maintenance", PolicyDocument=everything)
    s3.delete_bucket_policy(Bucket="acme-backups")
    s3.put_bucket_versioning(Bucket="acme-backups", VersioningConfiguration={"Status": "Suspended"})
    drift = root.drift()
    for address in (
        'module.repository.aws_iam_user_policies_exclusive.host["web"]',
        "module.instance.aws_iam_role_policy.maintenance",
        "module.repository.aws_s3_bucket_policy.this",
        "module.repository.aws_s3_bucket_versioning.this",
    ):
        assert f"# {address} will be" in drift, drift
    root.apply()
    assert root.drift() == ""
    assert iam.list_user_policies(UserName="acme-backups-web")["PolicyNames"] == ["repository"]


@pytest.mark.long
@pytest.mark.matrix(name="examples of terraform")
def test_the_minimal_example_heals_a_repository_and_goes_without_the_backups(own_sandbox: Sandbox, tmp_path: Path) -> None:
    root = Root.of("examples/minimal", tmp_path / "terraform", own_sandbox, name="acme", s3_endpoint=own_sandbox.endpoint)
    root.apply()
    assert root.drift() == ""

    loosened_by_hand(root, own_sandbox)

    outputs, account = root.outputs(), Account(own_sandbox, tmp_path)
    web = account.host("acme-backups", "web", outputs["host_users"]["web"], account.password(outputs["passwords"]["web"]))
    assert web.password not in (root.directory / "terraform.tfstate").read_text()
    machine = account.key_of(outputs["machine_user"])
    role = f"[maintenance]\nrole_arn = {outputs['role_arn']}\nsource_profile = machine\n"
    home = Caller.of(account, "home", outputs["maintainer_toml"], account.profile_of("machine", machine) + role)

    back_up_twice(web)
    forget_in_vain(web)
    code, events = home.run()
    assert code == 3, shown(events)
    assert home.call("accept", "web")[0] == 0
    attacked = overwrite(web)
    code, events = home.run()
    assert (code, sum(event.event == "object.healed" for event in events)) == (3, attacked), shown(events)
    for snapshot in web.trees:
        web.verify(snapshot)

    code, said = root.call("destroy", "-auto-approve")
    assert (code, said.count("prevent_destroy") > 0) == (1, True), said
    account.client("iam").delete_access_key(UserName=outputs["machine_user"], AccessKeyId=machine.access_key_id)
    root.take_down()
    assert client(own_sandbox, "admin").get_bucket_versioning(Bucket="acme-backups")["Status"] == "Enabled"
    for snapshot in web.trees:
        web.verify(snapshot)


def refuses_types_that_the_region_lacks(own: Fleet, directory: Path) -> None:
    one = {"web": {"bucket": "acme-backups", "prefix": "web", "location": "s3:https://s3.amazonaws.com/acme-backups/web"}}
    wanted = {
        "repositories": one,
        "state": {"bucket": "acme-state", "prefix": "prod"},
        "image": {"id": own.plant.image_id, "digest": own.plant.digest, "device": "/dev/xvda"},
        "network": {"subnet_ids": own.plant.subnets, "security_group_ids": []},
        "types": ["m5.large", "x9.enormous"],
    }
    variables = {name: json.dumps(value) for name, value in wanted.items()}
    code, said = Root.of("modules/instance", directory, own.sandbox, group="servers", **variables).call("plan", "-input=false")
    assert code == 1
    assert "us-east-1 does not offer x9.enormous" in " ".join(said.split()), said


def network_of(own: Fleet) -> dict[str, object]:
    (vpc,) = own.plant.client("ec2").describe_subnets(SubnetIds=[own.plant.subnets[0]])["Subnets"]
    return {"vpc_id": vpc["VpcId"], "subnet_ids": list(own.plant.subnets)}


def backs_up_through_its_gateway(own: Fleet, account: Account, config: str, password: str) -> None:
    """Certify, recycle and admit as README says, and back up as a host without a key of the bucket; then try to take it back."""
    person = Caller.of(account, "person", config, account.profile_of("default", own.sandbox.credentials["admin"]))
    for words in (["gateway", "certify"], ["gateway", "recycle"], ["gateway", "status"]):
        code, said = person.call(*words)
        assert code == 0, said
    code, said = person.call("gateway", "admit", "mail", "--json")
    assert code == 0, said
    mail = Guest(own.sandbox, "mail", account.root / "mail", password=password, host="mail")
    mail.root.mkdir()
    mail.let_in(json.loads(said)["environment"], Path(person.environment["MAINTAINER_CONFIG"]).with_name("gateway.pem"))
    until(lambda: mail.restic("init", check=False).returncode == 0)
    mail.write("file", 150_000, 1)
    mail.verify(mail.backup())
    assert "403" in mail.restic("forget", "latest", check=False).stderr
    for one in own.instances():
        own.plant.client("ec2").terminate_instances(InstanceIds=[one["InstanceId"]])
    own.nothing_is_left()


def wrong_of_the_gateway(account: Account) -> list[str]:
    """Ask for the gateway's role, by the documents, every row of the trust table that a host has: its hosts' prefix in the place of the host's."""
    iam, s3 = account.client("iam"), account.client("s3")
    role = "maintainer-gateway-servers"
    arn = iam.get_role(RoleName=role)["Role"]["Arn"]
    own = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    bucket = json.loads(s3.get_bucket_policy(Bucket="acme-backups")["Policy"])
    wrong = []
    for row in trust.rows():
        if row.who == "host web":
            resource = row.resource.replace("acme-backups/web/", "acme-backups/mail/")
            context = {name: value.replace("web/", "mail/") for name, value in row.context.items()}
            if may(Request(arn, row.action, resource, context), own, bucket if row.bucket == trust.BACKUPS else {}) != row.may:
                wrong.append(str(row))
    return wrong


@pytest.mark.long
@pytest.mark.matrix(name="examples of terraform")
def test_the_complete_example_heals_on_an_instance_of_its_own(tmp_path: Path) -> None:
    with fleet() as own:
        root = Root.with_machines(
            "examples/complete",
            tmp_path / "terraform",
            own,
            cidr=LOOPBACK,
            controller_image=CONTROLLER,
            gateway=json.dumps({**network_of(own), "sources": {"here": "127.0.0.0/24"}}),
            gateway_port=str(own.plant.gateway_port),
        )
        root.apply()
        assert root.drift() == ""

        refuses_types_that_the_region_lacks(own, tmp_path / "other")
        assert wrong_of_the_gateway(Account(own.sandbox, tmp_path)) == []

        outputs, account = root.outputs(), Account(own.sandbox, tmp_path)
        hosts = {
            prefix: account.host("acme-backups", prefix, outputs["host_users"][name], account.password(outputs["passwords"][name]))
            for name, prefix in {"web": "web", "db": "databases/db"}.items()
        }
        (task,) = account.client("ecs").describe_task_definition(taskDefinition="maintainer")["taskDefinition"]["containerDefinitions"]
        environment = {one["name"]: one["value"] for one in task["environment"]}
        identity = account.profile_of("default", account.stand_in("maintainer-controller"))
        controller = Caller.of(account, "controller", environment["MAINTAINER_TOML"], identity, in_file=False)
        person = account.profile_of("default", own.sandbox.credentials["admin"])
        operator = Caller.of(account, "operator", outputs["maintainer_toml"], person)

        for repository in hosts.values():
            back_up_twice(repository)
        backs_up_through_its_gateway(own, account, outputs["maintainer_toml"], account.password(outputs["passwords"]["mail"]))
        assert task["command"] == ["run", "--once", "--json"]
        code, events = controller.run()
        assert code == 3, shown(events)
        assert [event.event for event in events].count("instance.launched") == 1
        assert operator.call("accept", "web")[0] == 0
        attacked = overwrite(hosts["web"])
        code, events = controller.run()
        assert (code, sum(event.event == "object.healed" for event in events)) == (3, attacked), shown(events)
        for repository in hosts.values():
            for snapshot in repository.trees:
                repository.verify(snapshot)
        own.nothing_is_left()

        root.take_down()
        for snapshot in hosts["web"].trees:
            hosts["web"].verify(snapshot)


@pytest.mark.long
@pytest.mark.matrix(name="examples of terraform")
def test_an_existing_network_gets_a_way_to_s3_and_keeps_all_else(tmp_path: Path) -> None:
    with fleet() as own:
        ec2 = own.plant.client("ec2")
        vpc = ec2.create_vpc(CidrBlock=LOOPBACK)["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=LOOPBACK)["Subnet"]["SubnetId"]
        table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        there = {"vpc_id": vpc, "subnet_ids": f'["{subnet}"]', "route_table_ids": f'["{table}"]', "ssh_from": '["10.20.0.0/16"]'}
        root = Root.with_machines("examples/existing-vpc", tmp_path / "terraform", own, **there)
        root.apply()
        assert root.drift() == ""

        outputs, account = root.outputs(), Account(own.sandbox, tmp_path)
        web = account.host("acme-backups", "web", outputs["host_users"]["web"], account.password(outputs["passwords"]["web"]))
        person = account.profile_of("default", own.sandbox.credentials["admin"])
        operator = Caller.of(account, "operator", outputs["maintainer_toml"], person)
        back_up_twice(web)
        code, events = operator.run()
        assert code == 3, shown(events)
        own.nothing_is_left()

        root.take_down()
        assert [one["SubnetId"] for one in ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]] == [subnet]


@pytest.mark.long
@pytest.mark.matrix(name="examples of terraform")
def test_storage_in_an_account_of_its_own_outlives_the_compute_account(tmp_path: Path) -> None:
    with fleet() as own:
        compute, storage = Account(own.sandbox, tmp_path), Account.another(own.sandbox, tmp_path, "111111111111")
        profiles = tmp_path / "profiles"
        profiles.write_text(storage.profile_of("storage", storage.sandbox.credentials["admin"]))
        more = {"cidr": LOOPBACK, "controller_image": CONTROLLER, "storage_profile": "storage"}
        root = Root.with_machines("examples/cross-account", tmp_path / "terraform", own, **more)
        root.environment["AWS_SHARED_CREDENTIALS_FILE"] = str(profiles)
        root.apply()
        assert root.drift() == ""

        outputs = root.outputs()
        web = storage.host("acme-backups", "web", outputs["host_users"]["web"], compute.password(outputs["passwords"]["web"]))
        task = compute.profile_of("default", compute.stand_in("maintainer-controller"))
        controller = Caller.of(compute, "controller", outputs["maintainer_toml"], task)
        back_up_twice(web)
        code, events = controller.run()
        assert code == 3, shown(events)
        attacked = overwrite(web)
        code, events = controller.run()
        assert (code, sum(event.event == "object.healed" for event in events)) == (3, attacked), shown(events)
        own.nothing_is_left()

        s3 = compute.client("s3")  # whoever administers the compute account
        for bucket, key in (("acme-backups", "web/config"), ("acme-maintainer-state", "prod/web/ledger/00000000")):
            acts: list[Callable[[], object]] = [
                partial(s3.delete_object, Bucket=bucket, Key=key),
                partial(s3.delete_bucket_policy, Bucket=bucket),
                partial(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}),
                partial(s3.delete_bucket, Bucket=bucket),
            ]
            for act in acts:
                with pytest.raises(ClientError, match="AccessDenied"):
                    act()
        root.take_down()
        for snapshot in web.trees:
            web.verify(snapshot)
