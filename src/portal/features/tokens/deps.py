"""What the token routes ask for in their signatures."""

from typing import Annotated

from fastapi import Depends, Query, Request

from portal.features.identity.deps import WithFreshSignIn, json_of
from portal.features.tokens.schemas import ApiTokenIn, ApiTokenQuery
from portal.features.tokens.service import ApiTokens


async def _tokens(request: Request) -> ApiTokens:
    tokens: ApiTokens = request.app.state.tokens
    return tokens


WithTokens = Annotated[ApiTokens, Depends(_tokens)]
NewToken = Annotated[ApiTokenIn, json_of(ApiTokenIn, WithFreshSignIn)]
Whose = Annotated[ApiTokenQuery, Query()]
