"""What the token routes ask for in their signatures."""

from typing import Annotated

from fastapi import Depends, Query, Request

from portal.features.identity.deps import WithFreshSignIn, json_of
from portal.features.tokens.schemas import ApiTokenCreate, ApiTokenQuery
from portal.features.tokens.service import ApiTokens


async def _tokens(request: Request) -> ApiTokens:
    tokens: ApiTokens = request.app.state.tokens
    return tokens


TokensDep = Annotated[ApiTokens, Depends(_tokens)]
NewToken = Annotated[ApiTokenCreate, json_of(ApiTokenCreate, WithFreshSignIn)]
Whose = Annotated[ApiTokenQuery, Query()]
