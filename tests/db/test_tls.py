"""TLS to Postgres: the named authorities sign its certificate, and no others. A real handshake, a real server."""

import ssl
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from portal import schema
from portal.core.errors import ConfigError
from portal.db.engine import SslMode, _ssl, make_engine, parse_url

from ..own_tls import Authority, fronted
from .test_reasons import reach


async def connects(port: int, mode: SslMode, authorities: Path | None) -> bool:
    """Raises ConfigError for anything but a certificate that is not trusted."""
    engine = make_engine(parse_url(f"postgresql://postgres@localhost:{port}/postgres"), mode, authorities)
    try:
        await schema.revision_of(engine)
    except ConfigError as error:
        if "its certificate is not trusted" not in str(error):
            raise
        return False
    finally:
        await engine.dispose()
    return True


@pytest.mark.parametrize(
    ("mode", "name", "connected"),
    [
        ("verify-full", "localhost", True),
        ("verify-ca", "localhost", True),
        ("verify-ca", "db.example.org", True),
        ("verify-full", "db.example.org", False),
    ],
)
async def test_a_certificate_is_the_named_authoritys_and_the_hosts(
    postgres: URL, tmp_path: Path, mode: SslMode, name: str, *, connected: bool
) -> None:
    authority = Authority(tmp_path)
    with fronted(reach(postgres), authority.issue(name), postgres=True) as port:
        assert await connects(port, mode, authority.pem) is connected


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca"])
async def test_another_authority_is_not_trusted(postgres: URL, tmp_path: Path, mode: SslMode) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with fronted(reach(postgres), Authority(tmp_path).issue("localhost"), postgres=True) as port:
        assert not await connects(port, mode, Authority(other).pem)
        assert not await connects(port, mode, None)


def test_who_is_named_is_trusted_alone(tmp_path: Path) -> None:
    pinned, system = _ssl("verify-full", Authority(tmp_path).pem), _ssl("verify-full", None)
    assert isinstance(pinned, ssl.SSLContext)
    assert isinstance(system, ssl.SSLContext)
    assert [found["subject"] for found in pinned.get_ca_certs()] == [((("commonName", "an authority of a test"),),)]
    assert pinned.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_authorities_that_cannot_be_read_are_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"PORTAL_DATABASE_CA: .*ca\.pem cannot be read"):
        make_engine(parse_url("postgresql://h/d"), "verify-full", path)
