"""A request as data, for those that are sent by socket and those that are asked in the server's own process."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """The target is a path with its query, as it stands on a request line."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
