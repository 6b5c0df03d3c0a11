"""The dependencies in the signatures of the case routes."""

from typing import Annotated

from portal.features.cases.schemas import BreakGlassQuery, CaseCreate, CaseQuery, CaseUpdate, MemberCreate, MemberUpdate
from portal.features.cases.service import Cases
from portal.features.identity.deps import Administers, ChangesCases, ReadsCases, json_of
from portal.web.pages import Paging, paginated
from portal.web.portal_state import of_portal

CasesDep = Annotated[Cases, of_portal("cases")]
NewCaseBody = Annotated[CaseCreate, json_of(CaseCreate, ChangesCases)]
PatchBody = Annotated[CaseUpdate, json_of(CaseUpdate, ChangesCases)]
MemberBody = Annotated[MemberCreate, json_of(MemberCreate, ChangesCases)]
ChangeBody = Annotated[MemberUpdate, json_of(MemberUpdate, ChangesCases)]
Listing = Annotated[Paging[CaseQuery], paginated(CaseQuery, ReadsCases)]
GlassListing = Annotated[Paging[BreakGlassQuery], paginated(BreakGlassQuery, Administers)]
