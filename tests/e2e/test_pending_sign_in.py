"""Pending: refresh tokens older than the last, words of RFC 6749, and names that a database does not take."""

import pytest
from sqlalchemy.engine import URL

from .conftest import MakePortal, Served
from .seen import problem
from .test_sign_in import me, refreshed, signed_in, token


def test_any_used_refresh_token_ends_its_family_not_only_the_last(portal: Served) -> None:
    first = signed_in(portal)
    second = refreshed(portal, first).json()
    third = refreshed(portal, second).json()
    assert me(portal, third).status_code == 200
    assert problem(refreshed(portal, first)) == (400, "invalid_grant")
    assert me(portal, third).status_code == 401
    assert refreshed(portal, third).status_code == 400


def test_a_missing_grant_type_is_an_invalid_request(portal: Served) -> None:
    refused = token(portal, username="analyst", password="x")
    assert (problem(refused)[0], refused.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("name", ["a\0b", "\0"], ids=ascii)
async def test_a_name_with_a_nul_is_nobodys_on_either_database(
    make_portal: MakePortal, database_url: URL, name: str
) -> None:
    portal = make_portal(DATABASE_URL=database_url.render_as_string(hide_password=False), DB_SSL_MODE="disable")
    portal.prepare()
    portal.start()
    refused = token(portal, grant_type="password", username=name, password="a password")
    assert problem(refused)[0] in {400, 422}
