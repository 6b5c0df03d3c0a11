"""The access matrix as data: what every kind of caller gets from every route.

A row is a route by its operation id, then the objects that its path names, in order; further words tell rows of one
route apart. A cell is the status. `401`, `403` and `404` are `not_signed_in`, `forbidden` and `not_found`; `less` is
403 `insufficient_scope`; the code of another refusal stands in `CODES`. `seen` and `none` are 200, with the object that
the row is about and without it. Beside the route itself, its callers and its permission are written down here alone: to
add a route, write its rows. Next: `matrix_world` has the callers and the objects, `test_matrix` asks.
"""

from typing import Any

REASON = "Court order 26/1187 of 21 November."
CALLERS = {
    "anon": "nobody: no credential at all, or one that is good for nothing",
    "othr": "an analyst without any tie",
    "own": "an analyst with a file in their inbox, a link to it, and an API token",
    "lead": "of the case: an analyst, as the next three",
    "ctrb": "a contributor to it, who made a link to its file",
    "read": "a reader of it",
    "hand": "an uploader of it, who hands in",
    "upl": "an account that is an uploader, without any tie",
    "aud": "an auditor",
    "adm": "an administrator",
    "grnt": "an analyst who was granted both files",
    "tok": "an API token of the owner's, with every permission that one can have",
    "upto": "an API token of the lead's, to hand in alone",
    "conf": "an API token of the lead's, with every permission, for another case",
    "dlnk": "the token of the lead's link to the case's file",
    "ulnk": "the token of the lead's link to hand in to the case",
}
"""The columns."""

WRONG = "not the password of anybody"

TABLE = """
anon othr own  lead ctrb read hand upl  aud  adm  grnt tok  upto conf dlnk ulnk

401  200  200  200  200  200  200  200  200  200  200  200  200  200  less less  read_me
401  204  204  204  204  204  204  204  204  204  204  less less less less less  logout
401  204  204  204  204  204  204  204  204  204  204  less less less less less  logout_all
401  none seen none none none none none none none none less less less less less  list_sessions
401  404  seen 404  404  404  404  404  seen seen 404  less less less less less  list_sessions of owner
401  404  204  404  404  404  404  404  403  204  404  less less less less less  revoke_session owners_session
401  400  400  400  400  400  400  400  400  400  400  less less less less less  confirm_password
401  400  400  400  400  400  400  400  400  400  400  less less less less less  update_password
401  201  201  201  201  201  201  201  201  201  201  less less less less less  create_totp
401  400  400  400  400  400  400  400  400  400  400  less less less less less  confirm_totp
401  400  400  400  400  400  400  400  400  400  400  less less less less less  delete_totp

401  403  403  403  403  403  403  403  403  201  403  less less less less less  create_user
401  403  403  403  403  403  403  403  403  200  403  less less less less less  list_users
401  403  403  403  403  403  403  403  403  200  403  less less less less less  read_user user
401  403  403  403  403  403  403  403  403  200  403  less less less less less  read_user me
401  403  403  403  403  403  403  403  403  200  403  less less less less less  update_user user
401  403  403  403  403  403  403  403  403  409  403  less less less less less  update_user me
401  403  403  403  403  403  403  403  403  200  403  less less less less less  reset_password user
401  403  403  403  403  403  403  403  403  409  403  less less less less less  reset_totp user
401  403  403  403  403  403  403  403  403  204  403  less less less less less  logout_user user
401  403  403  403  403  403  403  403  403  200  403  less less less less less  revoke_all_of_user user
401  403  403  403  403  403  403  403  403  201  403  less less less less less  create_invitation
401  403  403  403  403  403  403  403  403  seen 403  less less less less less  list_invitations
401  403  403  403  403  403  403  403  403  204  403  less less less less less  revoke_invitation invitation

401  403  403  403  403  403  403  403  403  200  403  less less less less less  list_jobs
401  403  403  403  403  403  403  403  403  200  403  less less less less less  read_job job
401  403  403  403  403  403  403  403  403  200  403  less less less less less  cancel_job job
401  403  403  403  403  403  403  403  403  200  403  less less less less less  retry_job job

401  403  403  403  403  403  403  403  403  200  403  less less less less less  read_keys
401  403  403  403  403  403  403  403  403  200  403  less less less less less  rewrap_keys
401  403  403  403  403  403  403  403  403  200  403  less less less less less  reencrypt_files
401  403  403  403  403  403  403  403  403  200  403  less less less less less  reseal_keys
401  403  403  403  403  403  403  403  403  200  403  less less less less less  rotate_keys
401  403  403  403  403  403  403  403  403  200  403  less less less less less  verify_keys

401  403  403  403  403  403  403  403  403  200  403  less less less less less  shred_case closed_case
401  403  403  403  403  403  403  403  403  200  403  less less less less less  read_shredding shredded_case
401  403  403  403  403  403  403  403  403  200  403  less less less less less  read_receipt receipt
401  403  403  403  403  403  403  403  403  200  403  less less less less less  list_approvals
401  403  403  403  403  403  403  403  403  404  403  less less less less less  approve_request case
401  403  403  403  403  403  403  403  403  404  403  less less less less less  refuse_request case

401  201  201  201  201  201  201  201  201  201  201  less less less less less  create_api_token
401  none seen none none none none none none none none less less less less less  list_api_tokens
401  404  seen 404  404  404  404  404  seen seen 404  less less less less less  list_api_tokens of owner
401  404  204  404  404  404  404  404  403  204  404  less less less less less  revoke_api_token token
401  204  204  204  204  204  204  204  204  204  204  less less less less less  revoke_api_token own_token

401  201  201  201  201  201  201  403  403  201  201  201  less 403  less less  create_case
401  none none seen seen seen seen none seen seen none none less none less less  list_cases
401  404  404  200  200  200  200  404  200  200  404  404  less 404  less less  read_case case
401  404  404  200  403  403  403  404  403  200  404  404  less 404  less less  update_case case
401  404  404  200  403  403  403  404  403  200  404  404  less 404  less less  update_case case closing
401  404  404  204  403  403  403  404  403  204  404  404  less 404  less less  delete_case case
401  404  404  409  403  403  403  404  403  409  404  404  less 404  less less  delete_case full_case
401  404  404  seen seen seen 403  404  seen seen 404  404  less 404  less less  list_members case
401  404  404  201  403  403  403  404  403  201  404  404  less 404  less less  create_member case
401  404  404  200  403  403  403  404  403  200  404  404  less 404  less less  update_member case member
401  404  404  403  403  403  403  404  403  403  404  404  less 404  less less  update_member case me
401  404  404  204  403  403  403  404  403  204  404  404  less 404  less less  delete_member case member
401  404  404  409  204  204  204  404  403  403  404  404  less 404  less less  delete_member case me
401  404  404  200  403  403  403  404  200  200  404  404  less 404  less less  list_case_break_glass case
401  404  404  seen 403  403  403  404  seen seen 404  less less less less less  list_case_links case
401  404  404  seen 403  403  403  404  seen seen 404  404  less 404  less less  list_case_grants case
401  403  403  403  403  403  403  403  200  200  403  less less less less less  list_break_glass

401  none none none none none none none none none seen none less none less less  list_grants inbox_file
401  none seen none none none none none none none none seen less none less less  list_grants given
401  404  seen 404  404  404  404  404  seen seen 404  seen less 404  less less  list_grants of owner
401  403  403  403  403  403  403  403  403  409  403  less less less less less  transfer_inbox user

401  201  201  201  201  201  201  201  403  201  201  201  201  404  less less  upload_file
401  404  404  201  201  403  201  404  403  403  404  404  201  404  less less  upload_file into case
401  201  201  201  201  201  201  201  403  201  201  201  201  404  less less  upload_raw fresh
401  404  404  201  201  403  201  404  403  403  404  404  201  404  less less  upload_raw fresh case
401  none seen none none none none none seen seen seen seen less none less less  list_files inbox_file
401  none none seen seen seen none none seen seen seen none less none less less  list_files case_file
401  404  404  seen seen seen none 404  seen seen 404  404  less 404  less less  list_files of case

401  404  200  404  404  404  404  404  200  200  200  200  less 404  less less  read_file inbox_file
401  404  200  404  404  404  404  404  403  200  403  200  less 404  less less  update_file inbox_file
401  404  204  404  404  404  404  404  403  204  403  204  less 404  less less  delete_file inbox_file
401  404  200  404  404  404  404  404  403  403  403  200  less 404  less less  move_file inbox_file
401  404  403  404  404  404  404  404  403  403  403  less less less less less  create_break_glass inbox_file
401  404  200  404  404  404  404  404  403  403  200  200  less 404  less less  download_file inbox_file
401  404  200  404  404  404  404  404  403  403  200  200  less 404  less less  head_file inbox_file
401  404  seen 404  404  404  404  404  seen seen 403  seen less 404  less less  list_file_grants inbox_file
401  404  201  404  404  404  404  404  403  403  403  less less less less less  create_grant inbox_file
401  404  204  404  404  404  404  404  403  204  403  204  less 404  less less  revoke_grant inbox_file grant
401  404  403  404  404  404  404  404  403  403  204  403  less 404  less less  revoke_grant inbox_file me

401  404  404  200  200  200  404  404  200  200  200  404  less 404  less less  read_file case_file
401  404  404  200  200  403  404  404  403  200  403  404  less 404  less less  update_file case_file
401  404  404  204  403  403  404  404  403  204  403  404  less 404  less less  delete_file case_file
401  404  404  200  403  403  404  404  403  403  403  404  less 404  less less  move_file case_file
401  404  404  403  403  403  404  404  403  201  403  less less less less less  create_break_glass case_file
401  404  404  200  200  200  404  404  403  403  200  404  less 404  less less  download_file case_file
401  404  404  200  200  200  404  404  403  403  200  404  less 404  less less  head_file case_file
401  404  404  seen 403  403  404  404  seen seen 403  404  less 404  less less  list_file_grants case_file
401  404  404  201  403  403  404  404  403  403  403  less less less less less  create_grant case_file
401  404  404  204  403  403  404  404  403  204  403  404  less 404  less less  revoke_grant case_file case_grant

401  404  201  404  404  404  404  404  403  403  403  less less less less less  create_download_link to inbox_file
401  404  404  201  201  403  404  404  403  403  403  less less less less less  create_download_link to case_file
401  404  404  201  403  403  403  404  403  403  404  less less less less less  create_download_link to case
401  201  201  201  201  201  201  201  403  201  201  less less less less less  create_upload_link
401  404  404  201  201  403  403  404  403  403  404  less less less less less  create_upload_link into case
401  none seen none none none none none seen seen none less less less less less  list_links link
401  none none none seen none none none seen seen none less less less less less  list_links case_link
401  404  204  404  404  404  404  404  403  204  404  less less less less less  revoke_link link
401  404  404  204  204  404  404  404  403  204  404  less less less less less  revoke_link case_link

401  401  401  401  401  401  401  401  401  401  401  401  401  401  seen none  read_shared
401  401  401  401  401  401  401  401  401  401  401  401  401  401  200  less  download_shared_file case_file
401  401  401  401  401  401  401  401  401  401  401  401  401  401  404  less  download_shared_file inbox_file
401  401  401  401  401  401  401  401  401  401  401  401  401  401  200  less  head_shared_file case_file
401  401  401  401  401  401  401  401  401  401  401  401  401  401  404  less  head_shared_file inbox_file
401  401  401  401  401  401  401  401  401  401  401  401  401  401  less 201   upload_shared_file
401  401  401  401  401  401  401  401  401  401  401  401  401  401  less 201   upload_shared_raw fresh

200  200  200  200  200  200  200  200  200  200  200  200  200  200  200  200   create_token
403  403  403  403  403  403  403  403  403  403  403  403  403  403  403  403   register
403  403  403  403  403  403  403  403  403  403  403  403  403  403  403  403   set_password
200  200  200  200  200  200  200  200  200  200  200  200  200  200  200  200   redeem_link
200  200  200  200  200  200  200  200  200  200  200  200  200  200  200  200   read_signing_keys
200  200  200  200  200  200  200  200  200  200  200  200  200  200  200  200   healthz
200  200  200  200  200  200  200  200  200  200  200  200  200  200  200  200   readyz
307  307  307  307  307  307  307  307  307  307  307  307  307  307  307  307   front
200  200  200  200  200  200  200  200  200  200  200  200  200  200  200  200   openapi
200  200  200  200  200  200  200  200  200  200  200  200  200  200  200  200   docs
200  200  200  200  200  200  200  200  200  200  200  200  200  200  200  200   asset stylesheet

401  200  200  200  200  200  200  200  200  200  200  less less less less less  revoke_all
"""

HEADER, *LINES = [line.split() for line in TABLE.splitlines() if line]
ROWS = {" ".join(line[len(HEADER) :]): dict(zip(HEADER, line, strict=False)) for line in LINES}
"""The cells of each row by caller."""

PERMISSIONS = {
    "": "read_me read_shared",
    "files:read": "list_case_grants list_file_grants list_files list_grants read_file",
    "files:upload": "upload_file upload_raw",
    "files:manage": "delete_file revoke_grant update_file",
    "files:manage files:upload": "move_file",
    "files:download": "download_file head_file",
    "cases:read": "list_case_break_glass list_cases list_members read_case",
    "cases:manage": "create_case create_member delete_case delete_member update_case update_member",
    "account": (
        "confirm_password confirm_totp create_api_token create_download_link create_grant create_totp "
        "create_upload_link delete_totp list_api_tokens list_case_links list_links list_sessions logout "
        "logout_all revoke_all revoke_api_token revoke_link revoke_session update_password"
    ),
    "admin": (
        "create_break_glass create_invitation create_user list_break_glass list_invitations list_users "
        "logout_user read_user reset_password reset_totp revoke_all_of_user revoke_invitation "
        "transfer_inbox update_user cancel_job list_jobs read_job retry_job read_keys "
        "reencrypt_files rewrap_keys reseal_keys rotate_keys verify_keys shred_case read_shredding read_receipt "
        "list_approvals approve_request refuse_request"
    ),
    "shared:download": "download_shared_file head_shared_file",
    "shared:upload": "upload_shared_file upload_shared_raw",
}
"""What the credential must be good for, and the routes that ask it; those of people without one are in no row."""

CODES = {
    "confirm_password": "invalid_grant",
    "update_password": "invalid_grant",
    "confirm_totp": "invalid_grant",
    "delete_totp": "invalid_grant",
    "update_user me": "last_administrator",
    "reset_totp user": "totp_not_enrolled",
    "delete_case full_case": "case_not_empty",
    "delete_member case me": "last_lead",
    "transfer_inbox user": "inbox_in_use",
    "register": "invitation_refused",
    "set_password": "invitation_refused",
}
"""What a refusal is called that the rows do not say themselves: these routes refuse for more than one reason."""

SAYS: dict[str, dict[str, Any]] = {
    "create_token": {"data": {"grant_type": "password", "username": "signs_in", "password": "{password}"}},
    "register": {"json": {"name": "{fresh}", "password": "{password}"}},
    "set_password": {"json": {"secret": "made up", "password": "{password}"}},
    "confirm_password": {"json": {"password": WRONG}},
    "update_password": {"json": {"current_password": WRONG, "new_password": "{password}"}},
    "create_totp": {"json": {"password": "{password}"}},
    "confirm_totp": {"json": {"password": WRONG, "totp": "123456"}},
    "delete_totp": {"json": {"password": WRONG, "totp": "123456"}},
    "create_user": {"json": {"name": "{fresh}", "role": "uploader"}},
    "update_user": {"json": {"role": "auditor"}},
    "create_invitation": {"json": {"role": "admin"}},
    "rewrap_keys": {"json": {}},
    "reseal_keys": {"json": {}},
    "rotate_keys": {"json": {}},
    "shred_case": {"json": {"case_number": "{closed_number}"}},
    "reencrypt_files": {"json": {"sealed_before": "2020-01-01T00:00:00Z"}},
    "create_api_token": {"json": {"name": "a script", "permissions": ["files:read"]}},
    "list_sessions of owner": {"params": {"owner_id": "{owner}"}},
    "list_api_tokens of owner": {"params": {"owner_id": "{owner}"}},
    "create_case": {"json": {"title": "{fresh}"}},
    "list_cases": {"params": {"limit": "200"}},
    "update_case": {"json": {"title": "x"}},
    "update_case case closing": {"json": {"status": "closed"}},
    "create_member": {"json": {"user_name": "{newcomer}", "role": "reader"}},
    "update_member": {"json": {"role": "contributor"}},
    "upload_file": {"files": {"file": "x"}},
    "upload_file into case": {"data": {"case_id": "{case}"}, "files": {"file": "x"}},
    "upload_raw": {"content": "x"},
    "upload_raw fresh case": {"content": "x", "params": {"case_id": "{case}"}},
    "list_files": {"params": {"limit": "200"}},
    "list_files of case": {"params": {"case_id": "{case}"}},
    "update_file": {"json": {"description": "x"}},
    "move_file inbox_file": {"json": {"case_id": "{owners_case}"}},
    "move_file case_file": {"json": {"case_id": "{leads_case}"}},
    "create_break_glass": {"json": {"reason": REASON}},
    "list_grants": {"params": {"limit": "200"}},
    "list_grants given": {"params": {"given": "true", "limit": "200"}},
    "list_grants of owner": {"params": {"given": "true", "user_id": "{owner}", "limit": "200"}},
    "transfer_inbox": {"json": {"to": "{newcomer}"}},
    "create_grant": {"json": {"user_name": "{newcomer}"}},
    "create_download_link to inbox_file": {"json": {"file_ids": ["{inbox_file}"]}},
    "create_download_link to case_file": {"json": {"file_ids": ["{case_file}"]}},
    "create_download_link to case": {"json": {"case_id": "{case}"}},
    "create_upload_link": {"json": {}},
    "create_upload_link into case": {"json": {"case_id": "{case}"}},
    "list_links": {"params": {"limit": "200"}},
    "redeem_link": {"json": {"secret": "{link_secret}"}},
    "upload_shared_file": {"files": {"file": "x"}},
    "upload_shared_raw": {"content": "x"},
}
"""What a row sends beside its path: by the whole row, or else by its route. Objects stand in braces."""

LOOKS_FOR = {
    "list_sessions": "session",
    "list_sessions of owner": "session",
    "list_invitations": "invitation",
    "list_api_tokens": "token",
    "list_api_tokens of owner": "token",
    "list_cases": "case",
    "list_members case": "member",
    "list_case_links case": "case_link",
    "list_files inbox_file": "inbox_file",
    "list_files case_file": "case_file",
    "list_files of case": "case_file",
    "list_file_grants inbox_file": "grant",
    "list_case_grants case": "case_grant",
    "list_grants inbox_file": "inbox_file",
    "list_grants given": "grant",
    "list_grants of owner": "grant",
    "list_file_grants case_file": "case_grant",
    "list_links link": "link",
    "list_links case_link": "case_link",
    "read_shared": "case_file",
}
"""The object that is seen, or is not."""
