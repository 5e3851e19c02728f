"""A page of ListObjectVersions in document order, which boto3 loses: it sorts versions and markers into two lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from maintainer.core.versions import ObjectVersion


def keep_order(response_dict: Mapping[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Add `Ordered`, a list of ObjectVersion, to the parsed answer: a hook for `before-parse.s3.ListObjectVersions`."""
    if response_dict["status_code"] != 200:  # noqa: PLR2004 - HTTP's own
        return
    root = ET.fromstring(response_dict["body"])  # noqa: S314 - expat's own limits hold, and the answer is our S3's
    decode = unquote_plus if _text(root, "EncodingType") == "url" else str
    customized_response_dict["Ordered"] = [_version(element, decode) for element in root if _local(element) in ("Version", "DeleteMarker")]


def _version(element: ET.Element, decode: Callable[[str], str]) -> ObjectVersion:
    is_marker = _local(element) == "DeleteMarker"
    return ObjectVersion(
        key=decode(_text(element, "Key")),
        version_id=_text(element, "VersionId"),
        is_marker=is_marker,
        size=0 if is_marker else int(_text(element, "Size")),
        last_modified=datetime.fromisoformat(_text(element, "LastModified")).astimezone(UTC),
    )


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ET.Element, name: str) -> str:
    return next((child.text or "" for child in element if _local(child) == name), "")
