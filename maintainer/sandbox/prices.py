"""The sandbox's prices: what its spot market and its price list say.

The file prices.json in a sandbox's directory may name prices of an hour, in USD, by market and type, such as `spot m5.large`; of all others
a market has one.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

Application: TypeAlias = Callable[[dict[str, Any], Any], Iterable[bytes]]
FILE = "prices.json"
OF_A_MARKET = {"spot": "0.0300", "on-demand": "0.1000"}
SINCE = "2020-01-01T00:00:00Z"


class Prices:
    """What the file says."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE

    def of(self, market: str, kind: str) -> str:
        """Return a price."""
        said = json.loads(self._file.read_bytes()) if self._file.exists() else {}
        return str(said.get(f"{market} {kind}", OF_A_MARKET[market]))

    def history(self, kinds: list[str], zone: str) -> list[dict[str, str]]:
        """Return what the spot market says of types in a zone."""
        return [
            {
                "InstanceType": kind,
                "ProductDescription": "Linux/UNIX",
                "SpotPrice": self.of("spot", kind),
                "AvailabilityZone": zone,
                "Timestamp": SINCE,
            }
            for kind in kinds
        ]

    def served_by(self, application: Application) -> Application:
        """Answer the Price List API's GetProducts in front of another application, as AWS does: each product a JSON text in JSON."""

        def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if environ.get("HTTP_X_AMZ_TARGET") != "AWSPriceListService.GetProducts":
                return application(environ, start_response)
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            wanted = {one["Field"]: one["Value"] for one in json.loads(body)["Filters"]}
            price = {"unit": "Hrs", "pricePerUnit": {"USD": self.of("on-demand", wanted["instanceType"])}}
            product = {"product": {"attributes": wanted}, "terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": price}}}}}
            start_response("200 OK", [("Content-Type", "application/x-amz-json-1.1")])
            return [json.dumps({"FormatVersion": "aws_v1", "PriceList": [json.dumps(product)]}).encode()]

        return answer
