"""What the cases routes ask for in their signatures."""

from typing import Annotated

from fastapi import Depends, Query, Request

from portal.features.cases.schemas import BreakGlassQuery, CaseCreate, CaseQuery, CaseUpdate, MemberCreate, MemberUpdate
from portal.features.cases.service import Cases
from portal.features.identity.deps import ChangesCases, json_of


async def _cases(request: Request) -> Cases:
    cases: Cases = request.app.state.cases
    return cases


CasesDep = Annotated[Cases, Depends(_cases)]
NewCaseBody = Annotated[CaseCreate, json_of(CaseCreate, ChangesCases)]
PatchBody = Annotated[CaseUpdate, json_of(CaseUpdate, ChangesCases)]
MemberBody = Annotated[MemberCreate, json_of(MemberCreate, ChangesCases)]
ChangeBody = Annotated[MemberUpdate, json_of(MemberUpdate, ChangesCases)]
Listing = Annotated[CaseQuery, Query()]
GlassListing = Annotated[BreakGlassQuery, Query()]
