"""Rates: what an operator may say of a class of routes, and what is refused."""

import pytest

from portal.core.errors import ConfigError
from portal.core.rates import BY_ADDRESS, DEFAULTS, Rate, RouteClass, parse_rates


def test_every_class_has_a_rate_unless_somebody_says_otherwise() -> None:
    assert set(DEFAULTS) == set(RouteClass)
    assert None not in DEFAULTS.values()
    assert parse_rates(()) == DEFAULTS


def test_where_secrets_are_guessed_addresses_are_counted() -> None:
    assert {RouteClass.SIGN_IN, RouteClass.REGISTER, RouteClass.REDEEM} == BY_ADDRESS


def test_what_is_said_changes_its_class_alone() -> None:
    rates = parse_rates(("upload = 300/minute", "read=off"))
    assert rates == {**DEFAULTS, RouteClass.UPLOAD: Rate(300, "minute"), RouteClass.READ: None}


@pytest.mark.parametrize(("unit", "seconds"), [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86400)])
def test_a_rate_is_so_many_in_a_unit_of_time(unit: str, seconds: int) -> None:
    rate = parse_rates((f"sign_in=7/{unit}",))[RouteClass.SIGN_IN]
    assert rate is not None
    assert (rate.amount, rate.seconds, str(rate)) == (7, seconds, f"7/{unit}")


@pytest.mark.parametrize(
    "word",
    [
        "upload",
        "upload=",
        "=5/minute",
        "uploads=5/minute",
        "Upload=5/minute",
        "upload=0/minute",
        "upload=-1/minute",
        "upload=+5/minute",
        "upload=05/minute",
        "upload=1e3/minute",
        "upload=٣/minute",
        "upload=5/minutes",
        "upload=5 / minute",
        "upload=5/2 minutes",
        "upload=5",
        "upload=5/minute;1/second",
        "upload=9999999999/minute",
        "upload=OFF",
        "upload=none",
        "upload=unlimited",
        "upload=5/minute=6/minute",
    ],
)
def test_what_is_no_rate_of_a_class_is_refused_in_one_line(word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_rates((word,))
    (problem,) = caught.value.problems
    assert problem.startswith("PORTAL_RATE_LIMITS: ")
    assert "\n" not in problem


def test_a_class_is_named_once_and_every_problem_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_rates(("read=off", "read=1/minute", "x=1/minute", "change=never"))
    assert len(caught.value.problems) == 3
