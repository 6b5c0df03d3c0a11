"""What the cases routes ask for in their signatures."""

from typing import Annotated

from fastapi import Depends, Query, Request

from portal.features.cases.schemas import CaseNew, CasePatch, CaseQuery, GlassQuery, MemberChange, MemberNew
from portal.features.cases.service import Cases
from portal.features.identity.deps import ChangesCases, json_of


async def _cases(request: Request) -> Cases:
    cases: Cases = request.app.state.cases
    return cases


WithCases = Annotated[Cases, Depends(_cases)]
NewCaseBody = Annotated[CaseNew, json_of(CaseNew, ChangesCases)]
PatchBody = Annotated[CasePatch, json_of(CasePatch, ChangesCases)]
MemberBody = Annotated[MemberNew, json_of(MemberNew, ChangesCases)]
ChangeBody = Annotated[MemberChange, json_of(MemberChange, ChangesCases)]
Listing = Annotated[CaseQuery, Query()]
GlassListing = Annotated[GlassQuery, Query()]
