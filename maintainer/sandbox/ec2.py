"""The sandbox's EC2 endpoint as a process: moto, with what it lacks put in: `python -m maintainer.sandbox.ec2 DIRECTORY PORT ENDPOINT`.

It holds a lock on DIRECTORY/ec2.lock while it lives. The machines that its instances stand for are the hypervisor's, and
instance profiles are those of ENDPOINT's IAM.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses import EC2Response
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.responses.elastic_ip_addresses import ElasticIPAddresses
from moto.ec2.responses.fleets import Fleets
from moto.ec2.responses.general import General
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.ec2.utils import convert_tag_spec, filter_iam_instance_profiles
from moto.iam.models import IAMBackend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
from werkzeug.wsgi import get_input_stream

from maintainer.core.errors import SandboxError
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import diagnostics
from maintainer.sandbox import processes, snapshots
from maintainer.sandbox.given import Given
from maintainer.sandbox.plant import CHANGED
from maintainer.sandbox.prices import Prices
from maintainer.sandbox.provision import root_client
from maintainer.sandbox.refusals import Refusals
from maintainer.sandbox.tunnels import ENDPOINTS

Application: TypeAlias = Callable[[dict[str, Any], Any], Iterable[bytes]]


def honour_client_tokens(responses: Any, action: str) -> None:
    """Answer a repeated request with what the first one made, as EC2 does; moto 5.2.5 makes a second machine."""
    act = getattr(responses, action)
    made: dict[str, Any] = {}

    def once(self: Any) -> Any:
        token = self._get_param("ClientToken")
        if not token:
            return act(self)
        if token not in made:
            made[token] = act(self)
        return made[token]

    setattr(responses, action, once)


def tell_of_changes(responses: Any, action: str, changed: Path) -> None:
    """Touch a file after each request that makes or ends instances: whoever waits for one need not ask all the time."""
    act = getattr(responses, action)

    def tell(self: Any) -> Any:
        try:
            return act(self)
        finally:
            changed.touch()

    setattr(responses, action, tell)


def show_consoles(general: Any, machines: Path) -> None:
    """Give a machine's own console output; moto has the same text for all."""

    def get_console_output(self: Any) -> Any:
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        console = machines / instance.id / "console.log"
        text = console.read_text(encoding="utf-8", errors="replace")[-65_536:] if console.exists() else ""
        return ActionResult({"InstanceId": instance.id, "Timestamp": utcnow(), "Output": base64.b64encode(text.encode()).decode()})

    general.get_console_output = get_console_output


def make_images_of_machines(responses: Any, directory: Path) -> None:
    """Make an image of what a machine wrote, in the background; moto 5.2.5 makes a name alone, and tags no snapshot."""

    def create_image(self: Any) -> Any:
        instance, tags = self._get_param("InstanceId"), self._get_param("TagSpecifications", [])
        of_image = [one for one in tags if one["ResourceType"] == "image"]
        made = self.ec2_backend.create_image(instance, self._get_param("Name"), self._get_param("Description", ""), of_image)
        for pair in (pair for one in tags if one["ResourceType"] == "snapshot" for pair in one["Tags"]):
            made.ebs_snapshot.add_tag(pair["Key"], pair["Value"])
        made.state = "pending"

        def make() -> None:
            try:
                snapshots.make(directory, instance, made.id, SystemClock())
            except (SandboxError, OSError) as error:
                made.state = "failed"
                diagnostics().error("no image was made", instance=instance, reason=str(error))
            else:
                made.state = "available"

        threading.Thread(target=make, name="image", daemon=True).start()
        return ActionResult({"ImageId": made.id})

    responses.create_image = create_image


def show_spot_prices(responses: Any, prices: Prices) -> None:
    """Show the sandbox's prices; moto 5.2.5 has one of its own for all."""

    def describe_spot_price_history(self: Any) -> Any:
        kinds, zone = self._get_param("InstanceTypes", []), self._get_param("AvailabilityZone", "")
        return ActionResult({"SpotPriceHistory": prices.history(kinds, zone)})

    responses.describe_spot_price_history = describe_spot_price_history


def launch_fleets_whole(fleets: Any, capacity: Path, prices: Prices) -> None:
    """Launch an instant fleet's instance with all that its template says; moto 5.2.5 drops its profile, network and shutdown behaviour.

    `capacity` may name pools without room, as JSON: `MARKET TYPE`, such as `spot m7i.large`, and the code that EC2 refuses it with.
    """

    def create_fleet(self: Any) -> Any:
        full = _read(capacity)
        target = self._get_param("TargetCapacitySpecification", {})
        market = target.get("DefaultTargetCapacityType", "on-demand")
        errors: list[dict[str, Any]] = []
        for config in self._get_param("LaunchTemplateConfigs", []):
            named = config["LaunchTemplateSpecification"]
            template = self.ec2_backend.get_launch_template(template_id=named["LaunchTemplateId"])
            for override in config.get("Overrides") or [{}]:
                wanted = {**template.get_version(template.latest_version_number).data, **override}
                place = {"LaunchTemplateSpecification": named, "Overrides": override}
                profile = wanted.get("IamInstanceProfile", {}).get("Name")
                (interface,) = wanted.get("NetworkInterfaces", [{}])
                groups = interface.get("Groups", [])
                code, message = full.get(f"{market} {wanted['InstanceType']}", ""), f"no {market} {wanted['InstanceType']} for you"
                most = float(self._get_param("SpotOptions" if market == "spot" else "OnDemandOptions", {}).get("MaxTotalPrice", "inf"))
                if not code and (price := float(prices.of(market, wanted["InstanceType"]))) > most:
                    code, message = "SpotMaxPriceTooLow", f"Your Spot request price of {most} is lower than the minimum required {price}."
                if not code:
                    code, message = _mistake(self, profile, groups)
                if code:
                    errors.append({"ErrorCode": code, "ErrorMessage": message, "Lifecycle": market, "LaunchTemplateAndOverrides": place})
                    continue
                made = self.ec2_backend.run_instances(
                    wanted["ImageId"],
                    1,
                    wanted.get("UserData"),
                    [],
                    instance_type=wanted["InstanceType"],
                    is_instance_type_default=False,
                    subnet_id=wanted["SubnetId"],
                    security_group_ids=groups,
                    tags=convert_tag_spec(wanted.get("TagSpecifications", [])),
                    instance_market_options=market if market == "spot" else {},
                    instance_initiated_shutdown_behavior=wanted.get("InstanceInitiatedShutdownBehavior"),
                    metadata_options=wanted.get("MetadataOptions", {}),
                ).instances[0]
                if profile:
                    self.ec2_backend.associate_iam_instance_profile(instance_id=made.id, iam_instance_profile_name=profile)
                launched = {"InstanceIds": [made.id], "InstanceType": made.instance_type, "Lifecycle": market}
                return ActionResult({"FleetId": f"fleet-{made.id[2:]}", "Instances": [{**launched, "LaunchTemplateAndOverrides": place}]})
        return ActionResult({"FleetId": "fleet-0", "Instances": [], "Errors": errors})

    fleets.create_fleet = create_fleet


def make_instance_connect_endpoints(responses: Any, known: Path, host: str) -> None:
    """Make, describe and delete EC2 Instance Connect Endpoints, which moto 5.2.5 does not know.

    `known` gets their ids, `host` serves them.
    """
    made: dict[str, dict[str, Any]] = {}

    def keep() -> None:
        known.with_suffix(".new").write_text(json.dumps(list(made)), encoding="utf-8")
        known.with_suffix(".new").replace(known)

    def create(self: Any) -> Any:
        subnet = self.ec2_backend.get_subnet(self._get_param("SubnetId"))
        name = f"eice-{secrets.token_hex(8)}1"
        tags = convert_tag_spec(self._get_param("TagSpecifications", [])).get("instance-connect-endpoint", {})
        made[name] = {
            "InstanceConnectEndpointId": name,
            "InstanceConnectEndpointArn": f"arn:aws:ec2:{self.region}:{self.current_account}:instance-connect-endpoint/{name}",
            "OwnerId": self.current_account,
            "State": "create-complete",
            "StateMessage": "",
            "DnsName": host,
            "NetworkInterfaceIds": [],
            "VpcId": subnet.vpc_id,
            "AvailabilityZone": subnet.availability_zone,
            "CreatedAt": utcnow(),
            "SubnetId": subnet.id,
            "PreserveClientIp": False,
            "SecurityGroupIds": self._get_param("SecurityGroupIds", []),
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }
        keep()
        return ActionResult({"InstanceConnectEndpoint": made[name]})

    def describe(self: Any) -> Any:
        wanted = self._get_param("InstanceConnectEndpointIds", [])
        return ActionResult({"InstanceConnectEndpoints": [_known(made, name) for name in wanted] if wanted else list(made.values())})

    def delete(self: Any) -> Any:
        gone = _known(made, self._get_param("InstanceConnectEndpointId"))
        del made[gone["InstanceConnectEndpointId"]]
        keep()
        return ActionResult({"InstanceConnectEndpoint": {**gone, "State": "delete-complete"}})

    responses.create_instance_connect_endpoint = create
    responses.describe_instance_connect_endpoints = describe
    responses.delete_instance_connect_endpoint = delete


def _known(made: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name not in made:
        raise EC2ClientError("InvalidInstanceConnectEndpointId.NotFound", f"The InstanceConnectEndpoint ID '{name}' does not exist")
    return made[name]


def delete_key_pairs_by_id(responses: Any) -> None:
    """Delete a key pair by its id, too: moto 5.2.5 takes its name alone."""
    act = responses.delete_key_pair

    def delete_key_pair(self: Any) -> Any:
        pairs = self.ec2_backend.key_pairs
        if name := next((one.key_name for one in pairs.values() if one.id == self._get_param("KeyPairId")), None):
            return ActionResult({"Return": True, "KeyPairId": pairs.pop(name).id})
        return act(self)

    responses.delete_key_pair = delete_key_pair


def refuse_full_pools(instances: Any, capacity: Path) -> None:
    """Refuse an instance of a pool without room, as `launch_fleets_whole` does."""
    act = instances.run_instances

    def run_instances(self: Any) -> Any:
        market = self._get_param("InstanceMarketOptions", {}).get("MarketType", "on-demand")
        pool = f"{market} {self._get_param('InstanceType')}"
        if code := _read(capacity).get(pool):
            raise EC2ClientError(code, f"no {pool} for you")
        return act(self)

    instances.run_instances = run_instances


def know_profiles_of(iam: Any, backend: Any) -> None:
    """Know the instance profiles of an IAM, and no others: on AWS there is one IAM; moto has its own."""
    read = backend.get_instance_profile

    def get_instance_profile(self: Any, profile_name: str) -> Any:
        try:
            found = iam.get_instance_profile(InstanceProfileName=profile_name)["InstanceProfile"]
        except ClientError:
            self.instance_profiles.pop(profile_name, None)
            return read(self, profile_name)  # which says that there is none
        if profile_name not in self.instance_profiles:
            self.create_instance_profile(profile_name, found["Path"], [])
        return read(self, profile_name)

    backend.get_instance_profile = get_instance_profile


def describe_rules_whole(rule: Any) -> None:
    """Show the descriptions of all rules: moto 5.2.5 keeps those of addresses alone, and not those of groups and prefix lists."""
    make = rule.__init__

    def make_described(self: Any, *fields: Any, **named: Any) -> None:
        make(self, *fields, **named)
        sources = [one for one in (*fields, *named.values()) if isinstance(one, dict)]
        self.described = next((source["Description"] for source in sources if "Description" in source), None)

    rule.__init__ = make_described
    rule.description = property(lambda self: self.described)


def _mistake(fleets: Any, profile: str | None, groups: list[str]) -> tuple[str, str]:
    """Return EC2's code and message for a profile or security group that does not exist; both empty where all do."""
    if profile:
        try:
            filter_iam_instance_profiles(fleets.current_account, fleets.partition, None, profile)
        except ServiceException:
            said = f"Value ({profile}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
            return "InvalidParameterValue", said
    missing = [group for group in groups if fleets.ec2_backend.get_security_group_from_id(group) is None]
    return ("InvalidGroup.NotFound", f"The security group '{missing[0]}' does not exist") if missing else ("", "")


def one_at_a_time(application: Application) -> Application:
    """Answer each request whole before the next: moto 5.2.5 shows what is half made, and fails where two change the same.

    The same request again, by an SDK that has lost the answer to its first try, gets that answer.
    """
    turn = threading.Lock()
    given = Given()

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        call = environ.get("HTTP_AMZ_SDK_INVOCATION_ID", "")
        with turn:
            if (before := given.again(call)) is not None:
                get_input_stream(environ).read()  # a connection that is closed with a part unread is reset, and the answer lost
                status, headers, body = before
                start_response(status, headers)
                return [body]
            said: list[Any] = []
            body = b"".join(application(environ, lambda *start: said.extend(start)))
            if said[0].startswith("2"):
                given.keep(call, (said[0], said[1], body))
            start_response(said[0], said[1])
            return [body]

    return answer


def _read(file: Path) -> dict[str, str]:
    return dict(json.loads(file.read_bytes())) if file.exists() else {}


def main() -> None:
    """Serve until ended."""
    directory, port, endpoint = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    processes.hold(directory / "ec2.lock")

    describe_rules_whole(SecurityGroupRule)
    know_profiles_of(root_client("iam", endpoint), IAMBackend)
    make_instance_connect_endpoints(EC2Response, directory / ENDPOINTS, urlsplit(endpoint).netloc)
    delete_key_pairs_by_id(EC2Response)
    refuse_full_pools(InstanceResponse, directory / "capacity.json")
    honour_client_tokens(InstanceResponse, "run_instances")
    honour_client_tokens(LaunchTemplates, "create_launch_template")
    prices = Prices(directory)
    show_spot_prices(EC2Response, prices)
    launch_fleets_whole(Fleets, directory / "capacity.json", prices)
    honour_client_tokens(Fleets, "create_fleet")
    for responses, action in (
        (InstanceResponse, "run_instances"),
        (Fleets, "create_fleet"),
        (InstanceResponse, "terminate_instances"),
        (InstanceResponse, "stop_instances"),
        (ElasticIPAddresses, "associate_address"),
    ):
        tell_of_changes(responses, action, directory / CHANGED)
    make_images_of_machines(AmisResponse, directory)
    show_consoles(General, directory / "machines")
    application = one_at_a_time(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", port, Refusals(prices.served_by(application), directory), threaded=True)


if __name__ == "__main__":
    main()
