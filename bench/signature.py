"""AWS Signature Version 4, as an S3 client writes it into a request's head.

Comes in: a request, and a key that the server knows. Leaves: the headers to send. The body is not part: the server
has no digest to check. Next: `peers/seaweedfs`.
Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

UNSIGNED = "UNSIGNED-PAYLOAD"
_ALGORITHM = "AWS4-HMAC-SHA256"
_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Signer:
    """One who has an access key and its secret."""

    access_key: str
    secret: str = field(repr=False)

    def signed(
        self, method: str, path: str, headers: Mapping[str, str], now: datetime, content: str = UNSIGNED
    ) -> dict[str, str]:
        """These headers (lower case, the host among them) and those that prove who sends them and when (UTC).

        `path` is encoded already and has no query; `content` is the body's SHA-256 in hexadecimal.
        """
        moment = now.strftime("%Y%m%dT%H%M%SZ")
        found = {**headers, "x-amz-content-sha256": content, "x-amz-date": moment}
        names = ";".join(sorted(found))
        lines = "".join(f"{name}:{found[name]}\n" for name in sorted(found))
        request = f"{method}\n{path}\n\n{lines}\n{names}\n{content}"
        scope = f"{moment[:8]}/{_REGION}/s3/aws4_request"
        text = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        proof = _mac(self._key(scope), text).hex()
        credential = f"Credential={self.access_key}/{scope}"
        return found | {"authorization": f"{_ALGORITHM} {credential}, SignedHeaders={names}, Signature={proof}"}

    def _key(self, scope: str) -> bytes:
        """Good for one day, region and service."""
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = _mac(key, part)
        return key


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
