"""A second opinion on policies: AWS's own rules of evaluation, for what the modules' documents use.

Source: IAM user guide, "Policy evaluation logic" (an explicit deny wins; in one account either kind of policy may allow, across accounts
both must), "IAM JSON policy elements: Condition operators" (an absent key: negated operators hold, others do not; several values are
alternatives, and for a negated operator none may match; several operators and keys must all hold) and "AWS global condition context keys"
(aws:PrincipalArn of a session is its role's ARN).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """Who asks what of which resource. `context` holds the condition keys that the request carries; `account` is the resource's."""

    principal: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)
    account: str = ""

    def value(self, key: str) -> str | None:
        """Return a condition key's value; keys are the same in any case."""
        known = {"aws:securetransport": "true"} | {name.lower(): value for name, value in self.context.items()}
        return (known | {"aws:principalarn": self.principal, "aws:principalaccount": self.principal.split(":")[4]}).get(key.lower())


def may(request: Request, identity: Iterable[Policy], resource: Policy | None = None) -> bool:
    """Tell whether the request is allowed by the principal's own policies and the resource's."""
    own = [one for policy in identity for one in _statements(policy) if _applies(one, request)]
    theirs = [one for one in _statements(resource or {}) if _names(one, request) and _applies(one, request)]
    if any(one["Effect"] == "Deny" for one in (*own, *theirs)):
        return False
    allowed = [any(one["Effect"] == "Allow" for one in found) for found in (own, theirs)]
    same = not request.account or request.account == request.principal.split(":")[4]
    return any(allowed) if same else all(allowed)


def _statements(policy: Policy) -> list[dict[str, Any]]:
    return list(_many(policy.get("Statement", [])))


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _applies(statement: dict[str, Any], request: Request) -> bool:
    return (
        _covers(statement, "Action", request.action.lower(), fold=True)
        and _covers(statement, "Resource", request.resource, fold=False)
        and all(
            _holds(operator, request.value(key), [str(one) for one in _many(values)])
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _covers(statement: dict[str, Any], element: str, value: str, *, fold: bool) -> bool:
    def matched(patterns: Any) -> bool:
        return any(_like(pattern.lower() if fold else pattern, value) for pattern in _many(patterns))

    return matched(statement[element]) if element in statement else not matched(statement[f"Not{element}"])


def _names(statement: dict[str, Any], request: Request) -> bool:
    """Tell whether a resource's statement is about this principal. An account stands for all its principals."""
    principal = statement["Principal"]
    if principal == "*":
        return True
    account = request.principal.split(":")[4]
    return any(one in {"*", request.principal, account, f"arn:aws:iam::{account}:root"} for one in _many(principal.get("AWS", [])))


def _holds(operator: str, value: str | None, wanted: list[str]) -> bool:
    if operator == "Null":
        return (value is None) == (wanted == ["true"])
    negated, word = "Not" in operator, operator.replace("Not", "")
    if value is None:
        return negated
    match word:
        case "StringEquals" | "Bool":
            found = value in wanted
        case "StringLike" | "ArnLike" | "ArnEquals":  # the two ARN operators behave identically
            found = any(_like(pattern, value) for pattern in wanted)
        case _:
            raise NotImplementedError(operator)
    return found != negated


def _like(pattern: str, value: str) -> bool:
    return _compiled(pattern).fullmatch(value) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern), re.DOTALL)
