"""The fakes of key services that cannot be run here. Each is imported with its library when a test needs it."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..fake_gcp_kms import FakeGcpKms
    from ..fake_managed_hsm import FakeManagedHsm


@pytest.fixture(scope="session")
def _gcp_kms_of_all() -> "Iterator[FakeGcpKms]":
    from ..fake_gcp_kms import FakeGcpKms  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="portal-gcp-kms-") as folder:
        server = FakeGcpKms(Path(folder))
        yield server
        server.end()


@pytest.fixture
def fake_gcp_kms(_gcp_kms_of_all: "FakeGcpKms") -> "Iterator[FakeGcpKms]":
    """A fake of Google Cloud KMS that the tests of a worker share; after each it behaves again."""
    yield _gcp_kms_of_all
    _gcp_kms_of_all.behave()


@pytest.fixture(scope="session")
def _managed_hsm_of_all() -> "Iterator[FakeManagedHsm]":
    from ..fake_managed_hsm import FakeManagedHsm  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="portal-managed-hsm-") as folder:
        server = FakeManagedHsm(Path(folder))
        yield server
        server.end()


@pytest.fixture
def fake_managed_hsm(
    _managed_hsm_of_all: "FakeManagedHsm", monkeypatch: pytest.MonkeyPatch
) -> "Iterator[FakeManagedHsm]":
    """A fake of an Azure Managed HSM that the tests of a worker share; after each it behaves again."""
    from ..fake_managed_hsm import resolving  # noqa: PLC0415

    monkeypatch.setattr(socket, "getaddrinfo", resolving(socket.getaddrinfo))
    yield _managed_hsm_of_all
    _managed_hsm_of_all.behave()
