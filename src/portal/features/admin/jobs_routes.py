"""Jobs over HTTP, for administrators."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request

from portal.core import errors
from portal.core.errors import PortalError
from portal.core.rates import RouteClass
from portal.features.admin.jobs import JobControl
from portal.features.admin.jobs_schemas import JobOut, JobPage, JobQuery
from portal.features.identity.deps import ADMIN_ERRORS, Administers, RequestOrigin
from portal.features.jobs.service import JobStateRefused
from portal.features.jobs.views import JobFilters
from portal.web import routing
from portal.web.errors import documented
from portal.web.limits import rated
from portal.web.pages import paging
from portal.web.portal_state import of_portal

router = routing.router("administration")

_ONE: list[type[PortalError]] = [*ADMIN_ERRORS, errors.NotFound]


JobsDep = Annotated[JobControl, of_portal("job_control")]
Listing = Annotated[JobQuery, Query()]


@router.get(
    "/admin/jobs",
    summary="List jobs",
    response_description="One page, newest first.",
    responses=documented(errors.InvalidInput, *ADMIN_ERRORS),
)
@rated(RouteClass.READ)
async def list_jobs(request: Request, principal: Administers, jobs: JobsDep, query: Listing) -> JobPage:
    """Work that waits, runs or has ended. Jobs that ended are kept for a week."""
    listing = paging(request, query, principal.user_id)
    filters = JobFilters(listing.query.kind, listing.query.status)
    page = await jobs.page(principal, filters, listing.after, listing.query.limit)
    return JobPage(items=[JobOut.of(job) for job in page.items], next_cursor=listing.cursor(page.next_after))


@router.get(
    "/admin/jobs/{job_id:uuid}",
    summary="Read a job",
    response_description="The job.",
    responses=documented(*_ONE),
)
@rated(RouteClass.READ)
async def read_job(job_id: UUID, principal: Administers, jobs: JobsDep) -> JobOut:
    """How far it is, where it runs, and why its last attempt failed."""
    return JobOut.of(await jobs.get(principal, job_id))


@router.post(
    "/admin/jobs/{job_id:uuid}/cancel",
    summary="Cancel a job",
    response_description="The job: cancelled, or asked to stop.",
    responses=documented(*_ONE, JobStateRefused),
)
@rated(RouteClass.CHANGE)
async def cancel_job(job_id: UUID, principal: Administers, jobs: JobsDep, origin: RequestOrigin) -> JobOut:
    """One that waits ends now. One that runs stops within half a minute: read it again to see."""
    return JobOut.of(await jobs.cancel(principal, job_id, origin))


@router.post(
    "/admin/jobs/{job_id:uuid}/retry",
    summary="Retry a job",
    response_description="The job, due now.",
    responses=documented(*_ONE, JobStateRefused),
)
@rated(RouteClass.CHANGE)
async def retry_job(job_id: UUID, principal: Administers, jobs: JobsDep, origin: RequestOrigin) -> JobOut:
    """Have one that failed, was cancelled or still waits done now."""
    return JobOut.of(await jobs.retry(principal, job_id, origin))
