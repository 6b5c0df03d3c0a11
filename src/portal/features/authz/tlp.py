"""The colours that hold a file where it lies: moving it takes none of their protection off.

Comes in: the caller's relation to the place that a file leaves and to that where it goes. Leaves: nothing, or an error.
"""

from portal.core.errors import Conflict
from portal.features.authz.relation import Relation, Tlp

STRICT: tuple[Tlp, ...] = (Tlp.AMBER_STRICT, Tlp.RED)
"""The colours that the portal enforces, the stricter last: a file leaves neither for a place that holds it less."""


class TlpForbidsMove(Conflict):
    code, title = "tlp_forbids_move", "The case's TLP colour keeps its files under that colour or a stricter one."


def require_tlp(origin: Relation, target: Relation) -> None:
    """That a file that is moved stays as protected as it was. Raises TlpForbidsMove."""
    if _strictness(target) < _strictness(origin):
        raise TlpForbidsMove


def _strictness(standing: Relation) -> int:
    tlp = None if standing.case is None else standing.case.tlp
    return STRICT.index(tlp) + 1 if tlp in STRICT else 0
