"""The dependencies in the signatures of the API token routes."""

from typing import Annotated

from fastapi import Query

from portal.features.identity.deps import json_of
from portal.features.tokens.schemas import ApiTokenCreate, ApiTokenQuery
from portal.features.tokens.service import ApiTokens
from portal.web.portal_state import of_portal

TokensDep = Annotated[ApiTokens, of_portal("tokens")]
NewToken = Annotated[ApiTokenCreate, json_of(ApiTokenCreate)]
Whose = Annotated[ApiTokenQuery, Query()]
