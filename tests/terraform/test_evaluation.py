"""The second opinion's own opinion, on AWS's documented examples."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.policies import Request, may

ALICE = "arn:aws:iam::111122223333:user/Alice"
CAROL = "arn:aws:iam::444455556666:user/Carol"
OBJECT = "arn:aws:s3:::amzn-s3-demo-bucket/home/alice/x"


def statement(effect: str = "Allow", **more: Any) -> dict[str, Any]:
    elements = {"Action": "s3:*", "Resource": "*"}
    kept = {name: value for name, value in elements.items() if f"Not{name}" not in more}
    return {"Statement": {"Effect": effect, **kept, **more}}


def everybody(effect: str, **more: Any) -> dict[str, Any]:
    return statement(effect, Principal="*", **more)


def asks(
    action: str = "s3:GetObject", resource: str = OBJECT, principal: str = ALICE, account: str = "111122223333", **context: str
) -> Request:
    return Request(
        principal, action, resource, {name.replace("__", ":").replace("_", "-"): value for name, value in context.items()}, account
    )


HOME = statement(Action=["s3:GetObject", "s3:Put*"], Resource="arn:aws:s3:::amzn-s3-demo-bucket/home/alice/*")
TLS = everybody("Deny", Condition={"Bool": {"aws:SecureTransport": "false"}})
ENCRYPTED = everybody(
    "Deny",
    Action="s3:PutObject",
    Condition={"Null": {"s3:x-amz-server-side-encryption": "false"}, "StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}},
)
CONDITIONAL = everybody(
    "Deny", Action="s3:PutObject", Condition={"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}
)
EXCEPT_LOCKS = everybody("Deny", Action="s3:DeleteObject", NotResource="arn:aws:s3:::*/locks/*")
ONLY_READ = statement("Deny", NotAction=["s3:Get*", "s3:List*"])


@pytest.mark.parametrize(
    ("request_", "identity", "resource", "allowed"),
    [
        # "By default, all requests are implicitly denied", "an explicit allow overrides", "an explicit deny in any policy overrides"
        (asks(), [], None, False),
        (asks(), [HOME], None, True),
        (asks(resource="arn:aws:s3:::amzn-s3-demo-bucket/home/bob/x"), [HOME], None, False),
        (asks("s3:putobject"), [HOME], None, True),
        (asks("s3:DeleteObject"), [HOME], None, False),
        (asks(), [HOME, statement("Deny")], None, False),
        (asks(), [HOME], everybody("Deny"), False),
        # in one account either may allow; across accounts both must
        (asks(), [], everybody("Allow"), True),
        (asks(principal=CAROL), [], everybody("Allow"), False),
        (asks(principal=CAROL), [HOME], None, False),
        (asks(principal=CAROL), [HOME], statement(Principal={"AWS": "arn:aws:iam::444455556666:root"}), True),
        (asks(principal=CAROL), [HOME], statement(Principal={"AWS": "arn:aws:iam::777788889999:root"}), False),
        # NotAction and NotResource: all but
        (asks("s3:GetObject"), [HOME, ONLY_READ], None, True),
        (asks("s3:PutObject"), [HOME, ONLY_READ], None, False),
        (asks("s3:DeleteObject", "arn:aws:s3:::b/locks/x"), [statement()], EXCEPT_LOCKS, True),
        (asks("s3:DeleteObject", "arn:aws:s3:::b/data/x"), [statement()], EXCEPT_LOCKS, False),
        # an absent key: an affirmative operator does not hold, a negated one does, Null asks just that
        (asks(aws__SecureTransport="false"), [HOME], TLS, False),
        (asks(), [HOME], TLS, True),
        (asks("s3:PutObject"), [HOME], ENCRYPTED, True),
        (asks("s3:PutObject", s3__x_amz_server_side_encryption="AES256"), [HOME], ENCRYPTED, False),
        (asks("s3:PutObject", s3__x_amz_server_side_encryption="aws:kms"), [HOME], ENCRYPTED, True),
        # S3 user guide, "Enforce conditional writes": parts of an upload are exempt
        (asks("s3:PutObject", s3__ObjectCreationOperation="true"), [HOME], CONDITIONAL, False),
        (asks("s3:PutObject", s3__ObjectCreationOperation="true", s3__if_none_match="*"), [HOME], CONDITIONAL, True),
        (asks("s3:PutObject", s3__ObjectCreationOperation="false"), [HOME], CONDITIONAL, True),
        # "if your policy has multiple values for a negated operator, none may match"
        (asks(s3__prefix="c"), [HOME], everybody("Deny", Condition={"StringNotEquals": {"s3:prefix": ["a", "b"]}}), False),
        (asks(s3__prefix="b"), [HOME], everybody("Deny", Condition={"StringNotEquals": {"s3:prefix": ["a", "b"]}}), True),
        (asks(s3__prefix="home/x"), [], statement(Principal="*", Condition={"StringLike": {"s3:prefix": ["home", "home/*"]}}), True),
        (asks(s3__prefix="homes"), [], statement(Principal="*", Condition={"StringLike": {"s3:prefix": ["home", "home/*"]}}), False),
        (asks(), [HOME], everybody("Deny", Condition={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:user/*"}}), False),
        (asks(), [HOME], everybody("Deny", Condition={"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:user/*"}}), True),
    ],
)
def test_policies_are_evaluated_as_documented(
    request_: Request, identity: list[dict[str, Any]], resource: dict[str, Any] | None, *, allowed: bool
) -> None:
    assert may(request_, identity, resource) is allowed
