"""The second factor: enrolled, confirmed with a code, and required with every password check from then on.

Comes in: a user and a code, in the caller's transaction. Leaves: nothing, or a refusal. A code counts once: its step is
stored by compare-and-set, and a recovery code's row is deleted. Next: `password_auth`, `own_account`.
"""

import contextlib
import re
from collections.abc import Sequence
from uuid import UUID

from portal.core import clock, log
from portal.core.errors import Conflict, IntegrityError
from portal.core.principal import Origin
from portal.core.secrets import Secret
from portal.db.connection import Connection
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.identity import factor_rows, repository
from portal.features.identity.grant_errors import InvalidGrant, TotpRequired
from portal.features.identity.one_time_secrets import new_recovery_code, recovery_digest
from portal.features.identity.repository import User
from portal.features.identity.totp import TotpSecrets, matching_step, new_totp_secret

RECOVERY_CODES = 10
_PAGE = 500
_DIGITS = re.compile(r"\d{6}", re.ASCII)
_log = log.get(__name__)


class AlreadyEnrolled(Conflict):
    code, title = "totp_enrolled", "This account has an authenticator already; remove that one first."


class NotEnrolled(Conflict):
    code, title = "totp_not_enrolled", "This account has no authenticator, or none to confirm."


class Factors:
    """The second factors of one portal. Every method runs in the caller's transaction."""

    def __init__(self, secret_keys: Sequence[Secret]) -> None:
        self._secrets = TotpSecrets(secret_keys)

    async def require(self, connection: Connection, user: User, code: str | None, origin: Origin) -> None:
        """Check the code, and use it up. Without an authenticator there is nothing to check.

        `code` is the authenticator's or a recovery code. Raises TotpRequired without one, InvalidGrant for a wrong one.
        """
        if user.totp_since is None:
            return
        if not code:
            raise TotpRequired
        plain = "".join(code.split())
        taken = await (
            self._take(connection, user, plain)
            if _DIGITS.fullmatch(plain)
            else _recover(connection, user, plain, origin)
        )
        if not taken:
            raise InvalidGrant

    async def enrol(self, connection: Connection, user: User) -> str:
        """Store a new secret and return it, to show once. It replaces an unconfirmed one. Raises AlreadyEnrolled."""
        if user.totp_since is not None:
            raise AlreadyEnrolled
        secret = new_totp_secret()
        await factor_rows.put(connection, user.id, self._secrets.seal(user.id, secret))
        return secret

    async def confirm(self, connection: Connection, user: User, code: str) -> list[str]:
        """Confirm the secret with a code, and return the recovery codes, to show once.

        Raises AlreadyEnrolled, NotEnrolled, InvalidGrant for a wrong code, Conflict where the account just changed.
        """
        if user.totp_since is not None:
            raise AlreadyEnrolled
        if await factor_rows.sealed_of(connection, user.id) is None:
            raise NotEnrolled
        if not await self._take(connection, user, "".join(code.split())):
            raise InvalidGrant
        if not await repository.change_user(connection, user, totp_since=clock.now()):
            raise Conflict
        codes = [new_recovery_code() for _ in range(RECOVERY_CODES)]
        await factor_rows.add_codes(connection, user.id, map(recovery_digest, codes))
        return codes

    async def remove(self, connection: Connection, user: User) -> None:
        """Remove the authenticator and its recovery codes.

        Raises NotEnrolled, and Conflict where the account changed meanwhile.
        """
        if user.totp_since is None:
            raise NotEnrolled
        if not await repository.change_user(connection, user, totp_since=None):
            raise Conflict
        await factor_rows.remove(connection, user.id)

    async def count_outdated(self, connection: Connection) -> int:
        """The number of secrets that are not sealed with the newest key."""
        outdated, after = 0, None
        while page := await factor_rows.page(connection, after, _PAGE):
            outdated += sum(not self._secrets.is_newest(sealed) for _, sealed in page)
            after = page[-1][0]
        return outdated

    async def reseal_page(self, connection: Connection, after: UUID | None, limit: int) -> tuple[int, UUID | None]:
        """Seal the secrets of up to `limit` users after `after` with the newest key.

        Returns the number of resealed secrets, and the last user of the page; None at the end. A secret that does not
        open stays as it is.
        """
        page, resealed = await factor_rows.page(connection, after, limit), 0
        for user_id, sealed in page:
            if not self._secrets.is_newest(sealed):
                with contextlib.suppress(IntegrityError):
                    anew = self._secrets.seal(user_id, self._secrets.open(user_id, sealed))
                    resealed += await factor_rows.replace(connection, user_id, sealed, anew)
        return resealed, page[-1][0] if len(page) == limit else None

    async def _take(self, connection: Connection, user: User, code: str) -> bool:
        sealed = await factor_rows.sealed_of(connection, user.id)
        try:
            secret = self._secrets.open(user.id, sealed or b"")
        except IntegrityError:
            _log.error("totp_secret_does_not_open", user_id=str(user.id))  # edited, or PORTAL_SECRET_KEY lost its key
            return False
        step = matching_step(secret, code, clock.now())
        resealed = self._secrets.seal(user.id, secret)  # so that an old key can be removed one day
        return step is not None and await factor_rows.advance(connection, user.id, step, resealed)


async def _recover(connection: Connection, user: User, code: str, origin: Origin) -> bool:
    if not await factor_rows.use_code(connection, user.id, recovery_digest(code)):
        return False
    left = {"left": await factor_rows.count_codes(connection, user.id)}
    used = Event(EventKind.RECOVERY_CODE_USED, f"user:{user.id}", str(user.id), origin, dict(left))
    await record.write(connection, used)
    return True
