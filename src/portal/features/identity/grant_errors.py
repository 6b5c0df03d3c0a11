"""The errors of the token endpoint, with the portal's codes and OAuth's (RFC 6749 §5.2).

InvalidInput
└── InvalidTokenRequest   400  the token request is malformed
PortalError
└── InvalidGrant          400  sign-in or refresh is refused
    └── TotpRequired      400  the password is right, the account wants a code as well
"""

from typing import Any

from portal.core.errors import InvalidInput, PortalError


class InvalidGrant(PortalError):
    status, code, title = 400, "invalid_grant", "The credentials are not valid."

    def members(self) -> dict[str, Any]:
        return _in_oauth_words("invalid_grant", self)


class TotpRequired(InvalidGrant):
    code, title = "totp_required", "This account also needs a code from its authenticator: send it as totp."


class InvalidTokenRequest(InvalidInput):
    """A malformed token request. `error` is the OAuth error code of RFC 6749 §5.2."""

    code, title = "invalid_token_request", "The token request is malformed."

    def __init__(self, error: str = "invalid_request", detail: str | None = None) -> None:
        super().__init__(detail)
        self.error = error

    def members(self) -> dict[str, Any]:
        return _in_oauth_words(self.error, self)


def _in_oauth_words(word: str, error: PortalError) -> dict[str, Any]:
    return {"error": word, "error_description": str(error)}
