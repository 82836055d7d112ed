"""Roles that services of AWS assume and act by."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from ministack.core.responses import get_account_id
from ministack.services import iam, sts

from local_aws.iam import permissions

_SECONDS = 7 * 24 * 3600  # on AWS they expire after an hour and are renewed
_RENEWED = 2 * 24 * 3600  # renewed when less is left: no run may take longer (a job's Timeout)


class NotAssumed(Exception):
    """The message says which role, and which service may not assume it."""


@dataclass(frozen=True)
class Role:
    """A role that a service has assumed."""

    access_key: str
    secret_key: str
    token: str
    expires: float

    @property
    def environment(self) -> dict[str, str]:
        """The variables from which boto3 and the AWS CLI read credentials."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key, "AWS_SESSION_TOKEN": self.token}

    @property
    def java_properties(self) -> Mapping[str, str]:
        """The properties from which the AWS SDK for Java reads credentials."""
        return {"aws.accessKeyId": self.access_key, "aws.secretKey": self.secret_key, "aws.sessionToken": self.token}

    def check(self, action: str, resource: str) -> None:
        """Raise permissions.Denied unless the role may do this."""
        permissions.check(self.access_key, action, resource)


_assumed: dict[tuple[str, str], Role] = {}  # by the role's id and the session's name


def assume(role: str, service: str, session: str) -> Role:
    """Assume a role, given by ARN or name, as a service of AWS (`glue.amazonaws.com`). Raises NotAssumed.

    Its credentials are reused for some days; whether the service may assume the role is asked each time.
    """
    name = role.rpartition("/")[2]
    held = iam._roles.get(name)
    trust = held["AssumeRolePolicyDocument"] if held else None
    if not permissions.service_may(service, "sts:AssumeRole", held["Arn"] if held else role, trust):
        missing = "its trust policy does not let it" if held else "there is no such role"
        raise NotAssumed(f"{service} cannot assume the role {role}: {missing}")
    known = _assumed.get((held["RoleId"], session))
    if known and known.expires > time.time() + _RENEWED:
        return known
    keys = Role(sts._gen_session_access_key(), sts._gen_secret(), sts._gen_session_token(), time.time() + _SECONDS)
    sts.register_session(
        keys.access_key,
        {
            "Arn": f"arn:aws:sts::{get_account_id()}:assumed-role/{name}/{session}",
            "UserId": f"{held['RoleId']}:{session}",
            "SecretAccessKey": keys.secret_key,
            "SessionToken": keys.token,
            "Expiration": keys.expires,
            "AccountId": get_account_id(),
            "PrincipalType": "AssumedRole",
        },
    )
    _assumed[held["RoleId"], session] = keys
    return keys
