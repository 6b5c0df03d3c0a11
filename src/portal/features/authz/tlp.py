"""The rule for moves between TLP colours: a move never weakens the protection of a file.

Comes in: the caller's relation to the source and to the target of a move. Leaves: nothing, or an error.
"""

from portal.core.errors import Conflict
from portal.features.authz.relation import Relation, Tlp

STRICT: tuple[Tlp, ...] = (Tlp.AMBER_STRICT, Tlp.RED)
"""The colours that the portal enforces for moves, the strictest last. A file moves only to an equal or stricter place.

An inbox and all other colours count as the least strict. For example, a file of a RED case moves only to a RED case.
"""


class TlpForbidsMove(Conflict):
    code, title = "tlp_forbids_move", "The case's TLP colour keeps its files under that colour or a stricter one."


def require_tlp(origin: Relation, target: Relation) -> None:
    """Check that the target of a move protects the file at least as strictly as its source. Raises TlpForbidsMove."""
    if _strictness(target) < _strictness(origin):
        raise TlpForbidsMove


def _strictness(standing: Relation) -> int:
    tlp = None if standing.case is None else standing.case.tlp
    return STRICT.index(tlp) + 1 if tlp in STRICT else 0
