"""What the cases routes ask for in their signatures."""

from typing import Annotated

from fastapi import Depends, Query, Request

from portal.features.cases.schemas import CaseNew, CasePatch, CaseQuery, MemberChange, MemberNew
from portal.features.cases.service import Cases
from portal.features.identity.deps import ChangesCases
from portal.web.bodies import json_body


async def _cases(request: Request) -> Cases:
    cases: Cases = request.app.state.cases
    return cases


async def _new(request: Request, _: ChangesCases) -> CaseNew:
    return await json_body(request, CaseNew)


async def _patch(request: Request, _: ChangesCases) -> CasePatch:
    return await json_body(request, CasePatch)


async def _member(request: Request, _: ChangesCases) -> MemberNew:
    return await json_body(request, MemberNew)


async def _change(request: Request, _: ChangesCases) -> MemberChange:
    return await json_body(request, MemberChange)


WithCases = Annotated[Cases, Depends(_cases)]
NewCaseBody = Annotated[CaseNew, Depends(_new)]
PatchBody = Annotated[CasePatch, Depends(_patch)]
MemberBody = Annotated[MemberNew, Depends(_member)]
ChangeBody = Annotated[MemberChange, Depends(_change)]
Listing = Annotated[CaseQuery, Query()]
