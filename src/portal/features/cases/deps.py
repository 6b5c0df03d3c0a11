"""The dependencies in the signatures of the case routes."""

from typing import Annotated

from fastapi import Query

from portal.features.cases.schemas import BreakGlassQuery, CaseCreate, CaseQuery, CaseUpdate, MemberCreate, MemberUpdate
from portal.features.cases.service import Cases
from portal.features.identity.deps import json_of
from portal.web.portal_state import of_portal

CasesDep = Annotated[Cases, of_portal("cases")]
NewCaseBody = Annotated[CaseCreate, json_of(CaseCreate)]
PatchBody = Annotated[CaseUpdate, json_of(CaseUpdate)]
MemberBody = Annotated[MemberCreate, json_of(MemberCreate)]
ChangeBody = Annotated[MemberUpdate, json_of(MemberUpdate)]
Listing = Annotated[CaseQuery, Query()]
GlassListing = Annotated[BreakGlassQuery, Query()]
