"""`portal approvals`: what a second administrator was asked to approve.

Comes in: settings. Leaves: a table, or a refusal on record. The command line never approves: two people who have it
are one root. Administrators approve with their own sign-in (`POST /api/v1/admin/approvals/ID/approve`).
"""

from typing import Annotated, Any
from uuid import UUID

import typer

from portal.cli.console import Json, actor, named, portal, print_result, run_async, table
from portal.core.clock import rfc3339
from portal.core.principal import NOWHERE
from portal.features.custody.views import Approval

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
_SHOWN = 50


@app.callback()
def approvals() -> None:
    """Requests for a second administrator's approval."""


@app.command("list")
def list_(*, as_json: Json = False) -> None:
    """List the newest requests for approval."""
    found = run_async(_list())
    head = ["id", "act", "subject", "about", "requested by", "status", "expires at"]
    rows = [
        [str(one.id), one.act, one.subject, one.state, one.requested_by, one.status, rfc3339(one.expires_at)]
        for one in found
    ]
    text = table(head, rows) if rows else "no requests"
    print_result(text, [_told(one) for one in found], as_json=as_json)


@app.command("refuse")
def refuse(approval_id: Annotated[UUID, typer.Argument(help="The request's id.")], *, as_json: Json = False) -> None:
    """Refuse a request, or take it back."""
    refused = run_async(_refuse(approval_id))
    print_result(f"refused {refused.act} of {refused.subject}", _told(refused), as_json=as_json)


def asked_for(approval: Approval) -> str:
    """What a command says that needs approval first."""
    until = rfc3339(approval.expires_at)
    return f"asked for approval {approval.id}: another administrator approves it until {until}, then it is done"


async def _list() -> list[Approval]:
    async with portal(database_only=True) as opened:
        return list((await opened.custody.approvals(actor(), None, _SHOWN)).items)


async def _refuse(approval_id: UUID) -> Approval:
    with named(f"there is no request {approval_id}"):
        async with portal(database_only=True) as opened:
            return await opened.custody.refuse(actor(), approval_id, NOWHERE)


def _told(approval: Approval) -> dict[str, Any]:
    said = {name: str(getattr(approval, name)) for name in ("id", "act", "subject", "requested_by", "status")}
    said |= {"about": approval.state, "expires_at": rfc3339(approval.expires_at)}
    return said | {"approved_by": approval.decided_by}
