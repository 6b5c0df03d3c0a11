"""The nonce ledger of a portal under test: no key and nonce are ever used together twice (NIST SP 800-38D, 8).

Comes in: a portal that was not started yet. Leaves: what its processes, killed ones included, sealed under.
"""

from collections import Counter
from pathlib import Path

from ..e2e.conftest import Served

_SITE = Path(__file__).with_name("site")
_ENTRY = 32  # 20 bytes of the key's digest, 12 of the nonce


def keep(portal: Served) -> None:
    """From its next start on, every process of the portal writes down what it seals under."""
    _path(portal).touch()  # nothing was sealed yet
    portal.environment |= {"PYTHONPATH": str(_SITE), "NONCE_LEDGER": str(_path(portal))}


def entries(portal: Served) -> list[bytes]:
    """Every key (by digest) with every nonce used under it, in the order of use."""
    written = _path(portal).read_bytes()
    assert len(written) % _ENTRY == 0
    return [written[at : at + _ENTRY] for at in range(0, len(written), _ENTRY)]


def repeated(portal: Served) -> list[str]:
    """What was used twice: has to be empty."""
    return [entry.hex() for entry, times in Counter(entries(portal)).items() if times > 1]


def _path(portal: Served) -> Path:
    return portal.folder / "nonces"
