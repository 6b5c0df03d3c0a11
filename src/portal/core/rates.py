"""Rate limits as data: the classes of routes, the default rate of each, and the parser of PORTAL_RATE_LIMITS.

Comes in: the words of the setting. Leaves: `Rates`, with one rate for every class. Next: `web/limits` enforces them.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from portal.core.errors import ConfigError

_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE: Final = re.compile(r"([1-9]\d{0,8})/(second|minute|hour|day)", re.ASCII)


class RouteClass(StrEnum):
    """The class of a route, for rate limits. `docs/limits.md` has a line for each."""

    SIGN_IN = "sign_in"
    REGISTER = "register"
    REDEEM = "redeem"
    UPLOAD = "upload"
    DOWNLOAD = "download"
    READ = "read"
    CHANGE = "change"


BY_ADDRESS: Final = frozenset({RouteClass.SIGN_IN, RouteClass.REGISTER, RouteClass.REDEEM})
"""Classes that are always counted by client address, even with a credential: requests to them may guess a secret."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit of `amount` requests per `unit`: second, minute, hour or day."""

    amount: int
    unit: str

    @property
    def seconds(self) -> int:
        return _SECONDS[self.unit]

    def __str__(self) -> str:
        return f"{self.amount}/{self.unit}"


Rates = Mapping[RouteClass, Rate | None]
"""The rate of every class; None for a class without a limit."""

DEFAULTS: Final[Rates] = MappingProxyType(
    {
        RouteClass.SIGN_IN: Rate(60, "minute"),
        RouteClass.REGISTER: Rate(20, "hour"),
        RouteClass.REDEEM: Rate(60, "minute"),
        RouteClass.UPLOAD: Rate(12_000, "minute"),
        RouteClass.DOWNLOAD: Rate(12_000, "minute"),
        RouteClass.READ: Rate(3000, "minute"),
        RouteClass.CHANGE: Rate(1200, "minute"),
    }
)


def parse_rates(words: Iterable[str]) -> Rates:
    """The default rates, overridden by `words` (`upload=50/minute`, `read=off`).

    Raises ConfigError with every problem: an unknown or repeated class, or a rate that cannot be parsed.
    """
    said: dict[RouteClass, Rate | None] = {}
    problems = []
    for word in words:
        name, _, text = (part.strip() for part in word.partition("="))
        match = _RATE.fullmatch(text)
        if name not in set(RouteClass) or name in said:
            problems.append(f"PORTAL_RATE_LIMITS: {name!r} is no class of routes, or is repeated")
        elif match is None and text != "off":
            problems.append(f"PORTAL_RATE_LIMITS: {name} wants a rate such as 100/minute, or off")
        else:
            said[RouteClass(name)] = Rate(int(match[1]), match[2]) if match else None
    if problems:
        raise ConfigError(*problems)
    return MappingProxyType({**DEFAULTS, **said})
