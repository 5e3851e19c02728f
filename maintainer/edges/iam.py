"""IAM: a user for a backup host, with one policy of its own and an access key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from maintainer.core.errors import AccessDeniedError, MaintainerError, StoreError
from maintainer.core.job import Access
from maintainer.edges.s3 import session

PATH = "/maintainer/hosts/"
POLICY = "repository"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key as it is given once."""

    id: str
    secret: str


class Iam:
    """The users of one account. Raises AccessDeniedError, and StoreError for what IAM refuses otherwise."""

    def __init__(self, access: Access) -> None:
        self._client: Any = session(access).client("iam", endpoint_url=access.endpoint or None)

    @property
    def partition(self) -> str:
        """Return which of AWS's partitions the account's region is in: the second word of every ARN there."""
        return str(self._client.meta.partition)

    def keep_user(self, name: str, policy: str) -> bool:
        """Make a user with this inline policy and no other, or bring the one that is there to it; return whether it was made."""
        made = False
        try:
            self._client.create_user(UserName=name, Path=PATH)
            made = True
        except ClientError as error:
            if error.response["Error"]["Code"] != "EntityAlreadyExists":
                raise _refused(error, f"create user {name}") from None
        except BotoCoreError as error:
            raise _refused(error, f"create user {name}") from None
        self._ask(f"give {name} its policy", lambda: self._client.put_user_policy(UserName=name, PolicyName=POLICY, PolicyDocument=policy))
        for other in self._ask(f"list the policies of {name}", lambda: self._client.list_user_policies(UserName=name)["PolicyNames"]):
            if other != POLICY:
                self._ask(f"take {other} from {name}", partial(self._client.delete_user_policy, UserName=name, PolicyName=other))
        for other in self._ask(f"list the policies of {name}", lambda: self._client.list_attached_user_policies(UserName=name))[
            "AttachedPolicies"
        ]:
            arn = other["PolicyArn"]
            self._ask(f"take {arn} from {name}", partial(self._client.detach_user_policy, UserName=name, PolicyArn=arn))
        return made

    def keys(self, name: str) -> tuple[str, ...]:
        """Return the ids of a user's access keys; none where there is no such user."""
        try:
            return tuple(one["AccessKeyId"] for one in self._client.list_access_keys(UserName=name)["AccessKeyMetadata"])
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchEntity":
                return ()
            raise _refused(error, f"list the keys of {name}") from None
        except BotoCoreError as error:
            raise _refused(error, f"list the keys of {name}") from None

    def make_key(self, name: str) -> AccessKey:
        """Make an access key."""
        made = self._ask(f"make {name} an access key", lambda: self._client.create_access_key(UserName=name))["AccessKey"]
        return AccessKey(made["AccessKeyId"], made["SecretAccessKey"])

    def end_user(self, name: str) -> bool:
        """Delete a user's keys, its policy and itself; return whether there was one."""
        for key in self.keys(name):
            self._ask(f"delete a key of {name}", partial(self._client.delete_access_key, UserName=name, AccessKeyId=key))
        try:
            for policy in self._client.list_user_policies(UserName=name)["PolicyNames"]:
                self._client.delete_user_policy(UserName=name, PolicyName=policy)
            self._client.delete_user(UserName=name)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchEntity":
                return False
            raise _refused(error, f"delete user {name}") from None
        except BotoCoreError as error:
            raise _refused(error, f"delete user {name}") from None
        return True

    @staticmethod
    def _ask(what: str, act: Callable[[], T]) -> T:
        try:
            return act()
        except (ClientError, BotoCoreError) as error:
            raise _refused(error, what) from None


def _refused(error: ClientError | BotoCoreError, what: str) -> MaintainerError:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
    if code in {"AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "NoCredentialsError"}:
        return AccessDeniedError(f"IAM does not let us {what}: {code}", guidance="name the profile of who administers the hosts: --profile")
    return StoreError(f"IAM could not {what}: {code}", guidance="look at the account's limits, and try again")
