"""Keys over HTTP, for administrators."""

from functools import partial
from typing import Annotated

from portal.backends.keys.base import KeyProviderError
from portal.core import errors
from portal.core.errors import PortalError
from portal.core.principal import Permission, Principal
from portal.core.rates import RouteClass
from portal.features.admin.jobs_schemas import JobOut
from portal.features.admin.keys import Keys
from portal.features.admin.keys_schemas import (
    KeyResealOut,
    KeyResealRequest,
    KeyRewrapOut,
    KeyRewrapRequest,
    KeyRotateOut,
    KeyRotateRequest,
    KeysOut,
)
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.identity.deps import ADMIN_ERRORS, RequestOrigin, caller, json_of
from portal.web import routing
from portal.web.errors import BODY_ERRORS, documented
from portal.web.limits import rated
from portal.web.portal_state import of_portal

router = routing.router("administration")


_CHANGE: list[type[PortalError]] = [*BODY_ERRORS, *ADMIN_ERRORS, KeyProviderError]
RunsKeys = Annotated[
    Principal, caller(Permission.ADMINISTER, checks=[partial(policy.require, action=Action.KEY_MANAGE)])
]
_Rewrap = Annotated[KeyRewrapRequest, json_of(KeyRewrapRequest)]
_Reseal = Annotated[KeyResealRequest, json_of(KeyResealRequest)]
_Rotate = Annotated[KeyRotateRequest, json_of(KeyRotateRequest)]
KeysDep = Annotated[Keys, of_portal("keys")]


@router.get(
    "/admin/keys",
    summary="Read the status of all keys",
    response_description="Every master key, and what it protects.",
    responses=documented(*ADMIN_ERRORS),
)
@rated(RouteClass.READ)
async def read_keys(principal: RunsKeys, keys: KeysDep) -> KeysOut:
    """How each master key is, and what becomes unreadable without it. It counts all files, and calls no provider."""
    return KeysOut.of(await keys.status(principal))


@router.post(
    "/admin/keys/rewrap",
    summary="Bring data keys under the newest master key",
    response_description="How many data keys that are, and the job that does it.",
    responses=documented(*_CHANGE, errors.Conflict),
)
@rated(RouteClass.CHANGE)
async def rewrap_keys(principal: RunsKeys, asked: _Rewrap, keys: KeysDep, origin: RequestOrigin) -> KeyRewrapOut:
    """A job wraps each data key by the newest version of the first master key, and touches no file. If such a job waits
    or runs already, it is that one.
    """
    found = await keys.rewrap(principal, origin, dry_run=asked.dry_run)
    job = None if found.job is None else JobOut.of(found.job)
    return KeyRewrapOut(data_keys=found.data_keys, scopes=found.scopes, job=job)


@router.post(
    "/admin/keys/reseal",
    summary="Bring secrets under the newest secret key",
    response_description="How many secrets that are, and the job that does it.",
    responses=documented(*BODY_ERRORS, *ADMIN_ERRORS, errors.Conflict),
)
@rated(RouteClass.CHANGE)
async def reseal_keys(principal: RunsKeys, asked: _Reseal, keys: KeysDep, origin: RequestOrigin) -> KeyResealOut:
    """A job seals authenticators' secrets and the signing key under the newest `PORTAL_SECRET_KEY`. If such a job waits
    or runs already, it is that one.
    """
    found = await keys.reseal(principal, origin, dry_run=asked.dry_run)
    job = None if found.job is None else JobOut.of(found.job)
    outdated = found.outdated
    return KeyResealOut(authenticators=outdated.authenticators, signing_keys=outdated.signing_keys, job=job)


@router.post(
    "/admin/keys/rotate",
    summary="Retire data keys",
    response_description="How many were retired.",
    responses=documented(*BODY_ERRORS, *ADMIN_ERRORS, errors.NotFound),
)
@rated(RouteClass.CHANGE)
async def rotate_keys(principal: RunsKeys, asked: _Rotate, keys: KeysDep, origin: RequestOrigin) -> KeyRotateOut:
    """The next upload makes a new data key, of one case or of each. The old ones open their files as before."""
    rotated = await keys.rotate(principal, asked.case_id, origin, dry_run=asked.dry_run)
    return KeyRotateOut(data_keys=rotated)


@router.post(
    "/admin/keys/verify",
    summary="See whether every data key opens",
    response_description="The job that does it.",
    responses=documented(*ADMIN_ERRORS, errors.Conflict),
)
@rated(RouteClass.CHANGE)
async def verify_keys(principal: RunsKeys, keys: KeysDep, origin: RequestOrigin) -> JobOut:
    """A job has each data key opened by its provider. It fails if one does not open, and names it; so does the audit
    log.
    """
    return JobOut.of(await keys.verify(principal, origin))
