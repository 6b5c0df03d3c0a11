"""A moto server of the tests' own, with the API of AWS KMS, IAM and STS. It verifies signatures and rights.

It is moto from the development dependencies, and no AWS: of a policy it heeds the actions alone, a disabled key goes on
working there, and nothing is ever throttled. What it cannot show is shown by `tests/contracts/test_aws_kms.py` itself.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

POLICY = Path(__file__).parents[1] / "docs/policies/aws.json"
REGION = "eu-central-1"
_ATTEMPTS = 1200  # a minute: machines may be busy, and what ended is seen at once
_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class OwnMoto:
    """One server with two keys of the portal's, and users: the administrator, the portal."""

    def __init__(self, folder: Path) -> None:
        self.endpoint, self._log = f"http://127.0.0.1:{(port := _free_port())}", (folder / "moto.log").open("ab")
        self._client = httpx.Client(base_url=self.endpoint, trust_env=False, timeout=60)
        self._administrator = Credentials("nobody", "yet")
        self._process = self._run(port)
        self._administrator = Credentials(*self.user("administrator", _ALL))
        self.policy = self._heeded()
        self.access_key = self.user("portal", self.policy)
        self._client.post("/moto-api/reset-auth", content=b"0").raise_for_status()
        self.key, self.other_key = self.new_key(), self.new_key()

    @property
    def url(self) -> str:
        return f"aws-kms:{self.key}"

    @property
    def variables(self) -> dict[str, str]:
        """The settings of a portal that is this server's user."""
        key_id, secret = self.access_key
        names = {"ENDPOINT": self.endpoint, "ACCESS_KEY_ID": key_id, "SECRET_ACCESS_KEY": secret}
        return {f"PORTAL_AWS_{name}": value for name, value in names.items()}

    def new_key(self, **options: Any) -> str:
        """The ARN of a new key."""
        return str(self.kms("CreateKey", **options)["KeyMetadata"]["Arn"])

    def kms(self, operation: str, region: str = REGION, **parameters: Any) -> Any:
        """What KMS answers to its administrator."""
        kind = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"TrentService.{operation}"}
        return self._ask("kms", json.dumps(parameters).encode(), kind, region).json()

    def user(self, name: str, policy: dict[str, Any]) -> tuple[str, str]:
        """The access key of a new user with that policy."""
        self.iam("CreateUser", UserName=name)
        self.iam("PutUserPolicy", UserName=name, PolicyName="only", PolicyDocument=json.dumps(policy))
        made = self.iam("CreateAccessKey", UserName=name)
        return _tag(made, "AccessKeyId"), _tag(made, "SecretAccessKey")

    def iam(self, action: str, **parameters: str) -> str:
        body = str(httpx.QueryParams({"Action": action, "Version": "2010-05-08", **parameters})).encode()
        return self._ask("iam", body, {"Content-Type": "application/x-www-form-urlencoded"}, "us-east-1").text

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._client.close()
        self._log.close()

    def _heeded(self) -> dict[str, Any]:
        """The policy that operators are given, with what moto does not heed made wide."""
        policy: dict[str, Any] = json.loads(POLICY.read_text())
        for statement in policy["Statement"]:
            statement["Resource"] = "*"
        return policy

    def _ask(self, service: str, body: bytes, headers: dict[str, str], region: str) -> httpx.Response:
        request = AWSRequest("POST", f"{self.endpoint}/", headers=headers, data=body)
        SigV4Auth(self._administrator, service, region).add_auth(request)
        answer = self._client.post("/", content=body, headers=dict(request.headers.items()))
        assert answer.status_code == 200, answer.text
        return answer

    def _run(self, port: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            env=os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": "inf"},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(httpx.TransportError):
                self._client.get("/moto-api/")
                return process
            assert process.poll() is None, Path(self._log.name).read_text()
            time.sleep(0.05)
        raise AssertionError("moto did not start")


def _tag(text: str, name: str) -> str:
    found = re.search(f"<{name}>([^<]+)</{name}>", text)
    assert found, text
    return found[1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
