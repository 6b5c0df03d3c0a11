"""What the token routes ask for in their signatures."""

from typing import Annotated

from fastapi import Depends, Query, Request

from portal.features.identity.deps import WithAccount
from portal.features.tokens.schemas import ApiTokenIn, ApiTokenQuery
from portal.features.tokens.service import ApiTokens
from portal.web.bodies import json_body


async def _tokens(request: Request) -> ApiTokens:
    tokens: ApiTokens = request.app.state.tokens
    return tokens


async def _wanted(request: Request, _: WithAccount) -> ApiTokenIn:
    return await json_body(request, ApiTokenIn)


WithTokens = Annotated[ApiTokens, Depends(_tokens)]
NewToken = Annotated[ApiTokenIn, Depends(_wanted)]
Whose = Annotated[ApiTokenQuery, Query()]
