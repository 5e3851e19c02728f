"""The sandbox's EC2 endpoint as a process: moto, with what it lacks put in: `python -m maintainer.sandbox.ec2 DIRECTORY PORT`.

It holds a lock on DIRECTORY/ec2.lock while it lives. The machines that its instances stand for are the hypervisor's.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
from pathlib import Path
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.responses.fleets import Fleets
from moto.ec2.responses.general import General
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.ec2.utils import convert_tag_spec, filter_iam_instance_profiles
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

from maintainer.sandbox import processes
from maintainer.sandbox.plant import CHANGED

_WHOLE = threading.Lock()


def honour_client_tokens(responses: Any, action: str) -> None:
    """Answer a repeated request with what the first one made, as EC2 does; moto 5.2.5 makes a second machine."""
    act = getattr(responses, action)
    made: dict[str, Any] = {}

    def once(self: Any) -> Any:
        token = self._get_param("ClientToken")
        with _WHOLE:
            if not token:
                return act(self)
            if token not in made:
                made[token] = act(self)
            return made[token]

    setattr(responses, action, once)


def show_whole_instances(responses: Any) -> None:
    """Describe no instance that is half made: moto 5.2.5 gives it its profile after it can be seen."""
    act = responses.describe_instances

    def describe_instances(self: Any) -> Any:
        with _WHOLE:
            return act(self)

    responses.describe_instances = describe_instances


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


def launch_fleets_whole(fleets: Any, capacity: Path) -> None:
    """Launch an instant fleet's instance with all that its template says; moto 5.2.5 drops its profile, network and shutdown behaviour.

    `capacity` may name pools without room, as a JSON list of `MARKET TYPE`, such as `spot m7i.large`: those answer as EC2 does.
    """

    def create_fleet(self: Any) -> Any:
        full = set(json.loads(capacity.read_bytes())) if capacity.exists() else set()
        target = self._get_param("TargetCapacitySpecification", {})
        market = target.get("DefaultTargetCapacityType", "on-demand")
        errors: list[dict[str, Any]] = []
        for config in self._get_param("LaunchTemplateConfigs", []):
            named = config["LaunchTemplateSpecification"]
            template = self.ec2_backend.get_launch_template(template_id=named["LaunchTemplateId"])
            for override in config.get("Overrides") or [{}]:
                wanted = {**template.get_version(template.latest_version_number).data, **override}
                place = {"LaunchTemplateSpecification": named, "Overrides": override}
                if f"{market} {wanted['InstanceType']}" in full:
                    message = f"there is no {market} capacity for {wanted['InstanceType']}"
                    refusal = {"ErrorCode": "InsufficientInstanceCapacity", "ErrorMessage": message, "Lifecycle": market}
                    errors.append({**refusal, "LaunchTemplateAndOverrides": place})
                    continue
                if profile := wanted.get("IamInstanceProfile", {}).get("Name"):
                    try:
                        filter_iam_instance_profiles(self.current_account, self.partition, None, profile)
                    except ServiceException:
                        message = f"Value ({profile}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
                        errors.append({"ErrorCode": "InvalidParameterValue", "ErrorMessage": message, "LaunchTemplateAndOverrides": place})
                        continue
                (interface,) = wanted.get("NetworkInterfaces", [{}])
                made = self.ec2_backend.run_instances(
                    wanted["ImageId"],
                    1,
                    wanted.get("UserData"),
                    [],
                    instance_type=wanted["InstanceType"],
                    is_instance_type_default=False,
                    subnet_id=wanted["SubnetId"],
                    security_group_ids=interface.get("Groups", []),
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


def main() -> None:
    """Serve until ended."""
    directory, port = Path(sys.argv[1]), int(sys.argv[2])
    processes.hold(directory / "ec2.lock")

    honour_client_tokens(InstanceResponse, "run_instances")
    honour_client_tokens(LaunchTemplates, "create_launch_template")
    launch_fleets_whole(Fleets, directory / "capacity.json")
    honour_client_tokens(Fleets, "create_fleet")
    show_whole_instances(InstanceResponse)
    for responses, action in ((InstanceResponse, "run_instances"), (Fleets, "create_fleet"), (InstanceResponse, "terminate_instances")):
        tell_of_changes(responses, action, directory / CHANGED)
    show_consoles(General, directory / "machines")
    run_simple("127.0.0.1", port, DomainDispatcherApplication(create_backend_app), threaded=True)


if __name__ == "__main__":
    main()
