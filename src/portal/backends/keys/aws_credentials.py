"""The credentials with which the portal signs its requests to AWS KMS.

Comes in: the access key of the settings; without one, what the SDK finds on this machine: its own variables and files,
a web identity, the role of a container or an instance. Leaves: credentials that are good now; the SDK renews temporary
ones. Next: `aws_server` signs each request with them.
"""

import asyncio
from typing import Any

from botocore.credentials import Credentials

from portal.backends.keys.aws_settings import AwsSettings
from portal.backends.keys.base import KeyProviderError


class AwsCredentials:
    """The credentials of one process. Concurrent callers share one search."""

    def __init__(self, settings: AwsSettings) -> None:
        secret = settings.aws_secret_access_key.get_secret_value()
        self._given = Credentials(settings.aws_access_key_id, secret) if secret else None
        self._found: Any = None
        self._lock = asyncio.Lock()

    async def current(self) -> Any:
        """Credentials that are good now. Raises KeyProviderError."""
        if self._given is not None:
            return self._given
        try:
            async with self._lock:
                if self._found is None:
                    self._found = await _search()
            if self._found is not None:
                return await self._found.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001  # a dozen ways to find them, each with errors of its own
            text = f"no credentials: {type(error).__name__}"  # their words may hold some
            raise KeyProviderError(reason=text, transient=True, denied=True) from None
        raise KeyProviderError(reason="no credentials were found on this machine", transient=True, denied=True)


async def _search() -> Any:
    from aiobotocore.session import AioSession  # noqa: PLC0415  # a second that an access key does not cost

    return await AioSession().get_credentials()
