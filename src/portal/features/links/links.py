"""Link management: create, list and revoke links.

Comes in: a signed-in principal's request. Leaves: a new link with its secret, which is shown once; or links without
their secrets. A principal can link only to files that the principal may give away. Every live link is listed for its
creator, for the leads of its case, for auditors and for administrators.
"""

from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, Forbidden, NotFound, NotSignedIn, Unprocessable
from portal.core.ids import new_id
from portal.core.pagination import After, Page, page_of
from portal.core.prefixed_tokens import LINK, TokenKind
from portal.core.principal import Origin, Principal, Role
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.authz.visibility import sees_every_case
from portal.features.cases import relations
from portal.features.files.access import Quarantined, load_for_update
from portal.features.files.models import Status
from portal.features.identity.authenticators import Authenticators
from portal.features.identity.hashing_queue import QueueShare
from portal.features.identity.passwords import PasswordHasher
from portal.features.links import repository
from portal.features.links.checks import require_place
from portal.features.links.views import NEEDED, CreatedLink, Link, LinkKind, LinkStatus, NewLink, details_of

LINK_TOKEN = TokenKind(LINK)
MOST_LINKS = 500  # live links of one account


class TooManyLinks(Conflict):
    code, title = "too_many_links", f"An account has at most {MOST_LINKS} live links: revoke one first."


class LinkService:
    """The links of one portal. Safe for concurrent use."""

    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        authenticators: Authenticators,
        roles: frozenset[Role] = frozenset(Role),
    ) -> None:
        """`roles`: the account roles that may create links."""
        self._database = database
        self._hasher = hasher
        self._authenticators = authenticators
        self._roles = roles

    async def create(self, principal: Principal, wanted: NewLink, origin: Origin) -> CreatedLink:
        """Create a link.

        Raises NotSignedIn, InsufficientScope, NotFound, Forbidden, CaseReadOnly, TlpForbidsLinks, TooManyLinks,
        Quarantined, Unprocessable, Unavailable.
        """
        policy.require_permissions(principal, {NEEDED[wanted.kind]})
        if principal.role not in self._roles:
            raise Forbidden("Accounts of this role make no links here.")
        share, password = QueueShare.by_account(principal.user_id), wanted.password
        hashed = None if password is None else await self._hasher.hash(password, share=share)
        secret = LINK_TOKEN.new()
        async with self._database.write() as connection:
            link = _link(principal, wanted, await _place(connection, principal, wanted))
            await self._require_maker(connection, principal)
            await repository.add(connection, link, LINK_TOKEN.digest(secret) or b"", hashed)
            if wanted.file_ids:
                await repository.offer(connection, link.id, wanted.file_ids)
            details = details_of(link) | {"files": " ".join(sorted(map(str, wanted.file_ids))) or None}
            await record.write(
                connection, Event(EventKind.LINK_CREATED, principal.actor, str(link.id), origin, details)
            )
        return CreatedLink(link, secret)

    async def _require_maker(self, connection: Connection, principal: Principal) -> None:
        """Lock the creator's account, and check that its role is unchanged and its number of links below the limit.

        Without the lock, a concurrent revocation could miss the new link. Raises NotSignedIn, TooManyLinks.
        """
        if (await self._authenticators.held(connection, principal)).role is not principal.role:
            raise NotSignedIn
        if await repository.count_live(connection, principal.user_id, clock.now()) >= MOST_LINKS:
            raise TooManyLinks

    async def of_case(self, principal: Principal, case_id: UUID, after: After | None, limit: int) -> Page[Link]:
        """One page of the links of a case that no user revoked, newest first. Raises NotFound, Forbidden."""
        async with self._database.read() as connection:
            await _judge(connection, principal, Action.CASE_LINK_LIST, case_id)
            found = await repository.listed(connection, clock.now(), after, limit + 1, case_id=case_id)
        return page_of(found, limit)

    async def list(self, principal: Principal, after: After | None, limit: int) -> Page[Link]:
        """One page of the principal's links that no user revoked, newest first. Auditors and administrators see all.

        Raises Forbidden.
        """
        policy.require(principal, Action.LINK_LIST)
        only = {} if sees_every_case(principal) else {"made_by": principal.user_id}
        async with self._database.read() as connection:
            found = await repository.listed(connection, clock.now(), after, limit + 1, **only)
        return page_of(found, limit)

    async def revoke(self, principal: Principal, link_id: UUID, origin: Origin) -> None:
        """Revoke a link: it is refused from the next request on, and running transfers break off. Idempotent.

        Raises NotFound, Forbidden.
        """
        async with self._database.write() as connection:
            link = await repository.find(connection, link_id)
            if link is None:
                raise NotFound
            await _may_revoke(connection, principal, link)
            if await repository.revoke(connection, link_id, clock.now(), LinkStatus.REVOKED):
                event = Event(EventKind.LINK_REVOKED, principal.actor, str(link_id), origin, details_of(link))
                await record.write(connection, event)


async def _place(connection: Connection, principal: Principal, wanted: NewLink) -> UUID | None:
    """The case that the new link leads to; None for the creator's inbox.

    The case and the files are locked: what allows the link cannot change before the transaction ends.
    """
    case_id = wanted.case_id
    if wanted.kind is LinkKind.FILES:
        case_id = await _place_of(connection, principal, wanted.file_ids)
    if case_id is not None:
        await relations.lock_case(connection, case_id)
    await require_place(connection, principal, wanted.kind, case_id)
    return case_id


async def _place_of(connection: Connection, principal: Principal, file_ids: frozenset[UUID]) -> UUID | None:
    places = set()
    for file_id in sorted(file_ids):
        file = await load_for_update(connection, principal, Action.LINK_FILES, file_id)
        if file.status is Status.QUARANTINED:
            raise Quarantined
        places.add(file.case_id)
    if len(places) != 1:
        raise Unprocessable("The files of a link lie in one place: one case, or your inbox.")
    return places.pop()


async def _judge(connection: Connection, principal: Principal, action: Action, case_id: UUID) -> None:
    relation = await relations.find(connection, case_id, principal.user_id)
    if relation is None:
        raise NotFound
    policy.require_on(principal, action, relation)


async def _may_revoke(connection: Connection, principal: Principal, link: Link) -> None:
    """The creator, an administrator, or a lead of the case may revoke a link. Raises Forbidden, NotFound."""
    try:
        policy.require_of(principal, Action.LINK_REVOKE, link.made_by)
    except (Forbidden, NotFound):
        if link.case_id is None:
            raise
        await _judge(connection, principal, Action.CASE_LINK_REVOKE, link.case_id)


def _link(principal: Principal, wanted: NewLink, case_id: UUID | None) -> Link:
    now = clock.now()
    return Link(
        id=new_id(),
        kind=wanted.kind,
        made_by=principal.user_id,
        case_id=case_id,
        message=wanted.message,
        created_at=now,
        expires_at=now + wanted.lifetime,
        revoked_at=None,
        ended_by=None,
        most=wanted.most,
        most_in_all=wanted.most_in_all,
        used=0,
        most_bytes=wanted.most_bytes,
        used_bytes=0,
        failed_uploads=0,
        kinds=wanted.kinds,
        has_password=wanted.password is not None,
    )
