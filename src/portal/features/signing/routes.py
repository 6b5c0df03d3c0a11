"""The published signing keys over HTTP, for anybody."""

from typing import Annotated

from portal.core import errors
from portal.features.signing.keys import SigningKeys
from portal.features.signing.schemas import SigningKeyOut, SigningKeysOut
from portal.web import routing
from portal.web.errors import documented
from portal.web.limits import unlimited
from portal.web.portal_state import of_portal

router = routing.router("receipts")
SigningKeysDep = Annotated[SigningKeys, of_portal("signing")]


@router.get(
    "/signing-keys",
    summary="Read the public signing keys",
    response_description="A JWK set; the key that signs now comes first.",
    responses=documented(errors.Unavailable),
)
@unlimited
async def read_signing_keys(signing: SigningKeysDep) -> SigningKeysOut:
    """What verifies the receipts of this portal, retired keys included. Empty until something was signed. Keep a copy
    elsewhere: a key that comes with the receipt proves nothing.
    """
    return SigningKeysOut(keys=[SigningKeyOut.of(key) for key in await signing.published()])
