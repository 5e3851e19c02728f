"""What AWS takes for an instance: the spot market's history from EC2, on-demand prices from the Price List API."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from maintainer.core.costs import Price
from maintainer.core.errors import MaintainerError
from maintainer.edges.compute.ec2calls import translate
from maintainer.edges.compute.shapes import Instance

LINUX = "Linux/UNIX"
SPOT = "spot"
LISTED_IN = "us-east-1"
"""The Price List API answers there, and in few other regions, for all of them (AWS Billing user guide, "Price List Query API")."""
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


def spot(pages: Callable[..., list[dict[str, Any]]], instance: Instance, ended: datetime) -> tuple[Price, ...]:
    """Return what its hours cost on the spot market while it lived, by `Ec2.pages`. Raises the errors of `ec2calls.translate`."""
    found = pages(
        "DescribeSpotPriceHistory",
        "SpotPriceHistory",
        InstanceTypes=[instance.instance_type],
        AvailabilityZone=instance.zone,
        ProductDescriptions=[LINUX],
        StartTime=instance.launched,
        EndTime=ended,
    )
    return tuple(Price(one["Timestamp"], float(one["SpotPrice"])) for one in found)


def on_demand(session: boto3.Session, endpoint: str, region: str, instance_type: str) -> tuple[Price, ...]:
    """Return a type's price in a region; none where there is no such type. Raises the errors of `ec2calls.translate`."""
    wanted = {
        "instanceType": instance_type,
        "regionCode": region,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    filters: Any = [{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in wanted.items()]
    try:
        client = session.client(
            "pricing",
            region_name=LISTED_IN,
            endpoint_url=endpoint or None,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=15),
        )
        listed = client.get_products(ServiceCode="AmazonEC2", Filters=filters, MaxResults=10)["PriceList"]
    except (ClientError, BotoCoreError) as error:
        raise translate("GetProducts", error) from error
    return tuple(Price(ALWAYS, price) for one in listed if (price := _usd(json.loads(str(one)))))


def _usd(product: dict[str, Any]) -> float:
    """Read the price of an hour from a product as the Price List API describes it."""
    terms = product.get("terms", {}).get("OnDemand", {})
    dimensions = [one for term in terms.values() for one in term.get("priceDimensions", {}).values()]
    return next((float(one["pricePerUnit"]["USD"]) for one in dimensions if one.get("unit") == "Hrs" and "USD" in one["pricePerUnit"]), 0.0)


def known(ask: Callable[[], tuple[Price, ...]]) -> tuple[tuple[Price, ...], str]:
    """Return the prices, or none and why they are not known: what a run cost is no reason for it to fail."""
    try:
        found = ask()
    except MaintainerError as error:
        return (), error.message
    return found, "" if found else "AWS lists no price for it"
