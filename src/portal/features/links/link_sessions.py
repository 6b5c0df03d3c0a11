"""Link sessions: a link's secret, and its password if it has one, are redeemed for a token that lives for minutes.

Comes in: a secret or a token from a caller without an account. Leaves: a token for the secret; for a token, the
`Principal` of its link or a `LinkSession`. A link that is unknown, expired, used up or revoked gets the same refusal as
a wrong password. Wrong passwords are counted on the link and delay every caller who tries it, by at most 15 minutes.
"""

from datetime import timedelta

from portal.core import clock
from portal.core.delays import DoublingDelay
from portal.core.errors import Forbidden, NotSignedIn, Unavailable, Unprocessable
from portal.core.ids import new_id
from portal.core.prefixed_tokens import LINK_SESSION, TokenKind
from portal.core.principal import Origin, Principal
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.identity.hashing_queue import QueueShare
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.throttle import TooManyAttempts
from portal.features.links import checks, repository, session_rows, uploads, use_rows
from portal.features.links.links import LINK_TOKEN
from portal.features.links.repository import Redeemable
from portal.features.links.views import Link, LinkKind, LinkSession, Redeemed

SESSION_TOKEN = TokenKind(LINK_SESSION)
LIFETIME = timedelta(minutes=15)
FREE = 5  # wrong passwords without a delay
LONGEST = timedelta(minutes=15)
KEPT_WHEN_OVER = timedelta(days=90)


class LinkRefused(Forbidden):
    code, title = "link_refused", "The link is not good (any more), or its password is not that one."


class LinkSessions:
    """The link sessions of one portal. Implements `identity.authenticators.Authenticator`. Safe for concurrent use."""

    def __init__(self, database: Database, hasher: PasswordHasher) -> None:
        self._database = database
        self._hasher = hasher

    async def redeem(self, secret: str, password: str | None, origin: Origin) -> Redeemed:
        """Start a link session, and return its token. It counts as no use of the link.

        Raises LinkRefused, TooManyAttempts, Unprocessable, Unavailable.
        """
        digest = LINK_TOKEN.digest(secret)
        found = await self._look(digest, password, origin)
        try:
            await self._require_password(found, password, origin)
            return await self._settle(digest, found, origin)
        except (LinkRefused, Unprocessable):
            await self._refuse(found, origin)
            raise

    async def session(self, token: str, *, late: bool = False) -> LinkSession:
        """The link session of a token. Raises NotSignedIn.

        With `late`, also one that expired less than OVERTIME (a day) ago: it may only continue counted downloads.
        """
        digest = SESSION_TOKEN.digest(token)
        if digest is None:
            raise NotSignedIn
        now = clock.now()
        ends_after = now - checks.OVERTIME if late else now
        async with self._database.read() as connection:
            found = await session_rows.live_by_digest(connection, digest, now, ends_after)
            if found is None:
                raise NotSignedIn
            session_id, ends, live = found
            return LinkSession(live.link, session_id, await checks.principal_of(connection, live), late=ends <= now)

    def claims(self, credential: str) -> bool:
        return SESSION_TOKEN.matches(credential)

    async def resolve(self, credential: str, _: Origin) -> Principal:
        """The principal of a link session's token. Raises NotSignedIn."""
        return (await self.session(credential)).principal

    async def reauthenticate(self, connection: Connection, principal: Principal) -> Principal:
        """The link's principal as of now, also after its token expired.

        A transfer that began in time may take longer than the token. Raises NotSignedIn where the link was revoked.
        """
        return await checks.reauthenticate(connection, principal.credential_id)

    async def sweep(self) -> None:
        """Delete expired sessions and links that ended long ago. Give back the uses of uploads whose process died."""
        now = clock.now()
        async with self._database.write() as connection:
            await session_rows.forget_over(connection, now - checks.OVERTIME)
            await repository.forget_over(connection, now - KEPT_WHEN_OVER)
        await uploads.sweep(self._database)

    async def _look(self, digest: bytes | None, password: str | None, origin: Origin) -> Redeemable | None:
        """The valid link of a secret, or None. A password attempt is charged as wrong until it is found right.

        Raises TooManyAttempts.
        """
        wait = 0
        async with self._database.write() as connection:
            found = await _good(connection, digest)
            if found is not None and found.password_hash is not None and password is not None:
                wait = await _charge(connection, found, origin)
        if wait:
            raise TooManyAttempts(wait)
        return found

    async def _require_password(self, found: Redeemable | None, password: str | None, origin: Origin) -> None:
        """Check the password. A link that does not exist costs the same work as one that does.

        Raises LinkRefused, Unprocessable, Unavailable.
        """
        if found is not None and found.password_hash is None:
            return
        known = None if found is None else found.password_hash
        try:
            if password is None or not await self._hasher.verify(password, known, QueueShare.by_address(origin)):
                raise LinkRefused
        except Unavailable:
            if found is not None:
                await self._give_back(found.live.link)
            raise

    async def _give_back(self, link: Link) -> None:
        """Undo the charge: the hashing queue was full, so the password was not checked."""
        async with self._database.write() as connection:
            await repository.forgive_one(connection, link.id)

    async def _settle(self, digest: bytes | None, found: Redeemable | None, origin: Origin) -> Redeemed:
        async with self._database.write() as connection:
            now = await _good(connection, digest)  # it may have ended while the password was checked
            if found is None or now is None or now.password_hash != found.password_hash:
                raise LinkRefused
            return await _begin(connection, now, origin)

    async def _refuse(self, found: Redeemable | None, origin: Origin) -> None:
        subject = None if found is None else str(found.live.link.id)
        async with self._database.write() as connection:
            await record.write(connection, Event(EventKind.LINK_REFUSED, "nobody", subject, origin))


async def _good(connection: Connection, digest: bytes | None) -> Redeemable | None:
    found = None if digest is None else await repository.to_redeem(connection, digest, clock.now())
    if found is None or not await _worth(connection, found.live.link):
        return None
    try:
        await checks.principal_of(connection, found.live)
    except NotSignedIn:
        return None
    return found


async def _worth(connection: Connection, link: Link) -> bool:
    """Whether a session of the link could do anything.

    With a used-up link it could only continue an unfinished download, or list what was uploaded.
    """
    return not link.used_up or link.kind is LinkKind.UPLOAD or await use_rows.any_unfinished(connection, link.id)


async def _charge(connection: Connection, found: Redeemable, origin: Origin) -> int:
    """The seconds to wait. 0: the attempt may go on, and is charged as a wrong password."""
    now, link = clock.now(), found.live.link
    wait = DoublingDelay(FREE, LONGEST).left(found.failures, found.failed_at, now)
    if wait:
        event = Event(EventKind.LINK_THROTTLED, "nobody", str(link.id), origin, {"seconds": wait})
        await record.write(connection, event)
    else:
        await repository.count_failures(connection, link.id, found.failures + 1, now)
    return wait


async def _begin(connection: Connection, found: Redeemable, origin: Origin) -> Redeemed:
    now, link, session_id, token = clock.now(), found.live.link, new_id(), SESSION_TOKEN.new()
    expires_at = min(now + LIFETIME, link.expires_at)
    await session_rows.add(connection, link.id, session_id, SESSION_TOKEN.digest(token) or b"", now, expires_at)
    if found.failures:
        await repository.count_failures(connection, link.id, 0, None)
    event = Event(EventKind.LINK_REDEEMED, f"link:{link.id}", str(link.id), origin, {"session_id": str(session_id)})
    await record.write(connection, event)
    return Redeemed(link, expires_at, token)
