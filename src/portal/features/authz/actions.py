"""The table of actions: one row for each action, with its whole rule.

Comes in: nothing. Leaves: `Action`, whose members carry their `Rule`. Next: `policy` decides by it. `docs/access.md`
shows the same rows as tables. To add an action, write a row here and its lines there.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from portal.core.principal import Permission, Role
from portal.features.authz.relation import CaseStatus, RelationKind

Roles = frozenset[Role]
Stands = frozenset[RelationKind]

NO_ROLE: Final[Roles] = frozenset()
EVERYONE: Final[Roles] = frozenset(Role)
OPERATORS: Final[Roles] = frozenset({Role.ADMIN})
OVERSEERS: Final[Roles] = frozenset({Role.ADMIN, Role.AUDITOR})
INVESTIGATORS: Final[Roles] = frozenset({Role.ADMIN, Role.ANALYST})
"""Without uploader accounts, which must not learn of any other account."""

TEAM: Final[Stands] = frozenset({RelationKind.LEAD, RelationKind.CONTRIBUTOR, RelationKind.READER})
WATCHERS: Final[Stands] = frozenset({RelationKind.AUDITOR, RelationKind.ADMIN})
MANAGERS: Final[Stands] = frozenset({RelationKind.LEAD, RelationKind.ADMIN})
AUTHORS: Final[Stands] = frozenset({RelationKind.OWNER, RelationKind.LEAD, RelationKind.CONTRIBUTOR})
SEE_FILE: Final[Stands] = TEAM | WATCHERS | {RelationKind.OWNER, RelationKind.UPLOADER, RelationKind.GRANTEE}
SEE_CASE: Final[Stands] = TEAM | WATCHERS | {RelationKind.UPLOADER}
SEE_LINKS: Final[Stands] = WATCHERS | {RelationKind.LEAD}

ALWAYS: Final = frozenset(CaseStatus)
"""The statuses for actions that read, and for actions that revoke a right."""
UNTIL_SHREDDED: Final = ALWAYS - {CaseStatus.SHREDDED}
UNTIL_ARCHIVED: Final = UNTIL_SHREDDED - {CaseStatus.ARCHIVED}
UNTIL_CLOSED: Final = UNTIL_ARCHIVED - {CaseStatus.CLOSED}


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of one action. An empty column allows nothing."""

    roles: Roles = NO_ROLE
    """Roles that allow the action before there is an object, such as to create or to list."""
    stands: Stands = frozenset()
    """Relations to an object that allow the action. One of the caller's relations is enough."""
    known_to: Stands = frozenset()
    """Relations by which a caller may know that the object exists. A refusal is 403 with one of them, 404 without."""
    statuses: frozenset[CaseStatus] = ALWAYS
    """Statuses of a case that allow the action, on the case itself and on the files in it."""
    on_others: Roles = NO_ROLE
    """Roles that may do it to an object of another account. Every account may do it to its own objects."""
    permission_on_others: Permission | None = Permission.ADMINISTER
    """The permission that the credential needs for `on_others`, beside the permissions of the route."""


def on_file(stands: Stands, statuses: frozenset[CaseStatus] = ALWAYS, *, roles: Roles = NO_ROLE) -> Rule:
    """The rule of an action on a file. Every caller that may read the file's metadata may know that it exists."""
    return Rule(roles=roles, stands=stands, known_to=SEE_FILE, statuses=statuses)


def on_case(stands: Stands, statuses: frozenset[CaseStatus] = ALWAYS, *, roles: Roles = NO_ROLE) -> Rule:
    """The rule of an action on a case, or of an upload into it. Members and overseers may know that the case exists."""
    return Rule(roles=roles, stands=stands, known_to=SEE_CASE, statuses=statuses)


class Action(StrEnum):
    """An action. Its value is its name in the audit log and in `docs/access.md`; `rule` is its row of the policy."""

    rule: Rule

    def __new__(cls, name: str, rule: Rule) -> Self:
        member = str.__new__(cls, name)
        member._value_ = name
        member.rule = rule
        return member

    FILE_CREATE = (
        "files.create",
        on_case(AUTHORS | {RelationKind.UPLOADER}, UNTIL_CLOSED, roles=INVESTIGATORS | {Role.UPLOADER}),
    )
    FILE_LIST = "files.list", on_file(SEE_FILE, roles=EVERYONE)
    FILE_READ = "files.read", on_file(SEE_FILE)
    FILE_DOWNLOAD = (  # an administrator manages files without reading them
        "files.download",
        on_file(TEAM | {RelationKind.OWNER, RelationKind.BREAK_GLASS, RelationKind.GRANTEE}, UNTIL_SHREDDED),
    )
    FILE_UPDATE = "files.update", on_file(AUTHORS | {RelationKind.ADMIN}, UNTIL_CLOSED)
    FILE_DELETE = "files.delete", on_file(MANAGERS | {RelationKind.OWNER}, UNTIL_CLOSED)
    FILE_MOVE = (
        "files.move",
        on_file(frozenset({RelationKind.OWNER, RelationKind.LEAD}), UNTIL_CLOSED),
    )  # the target of a move decides the readers of the file
    FILE_BREAK_GLASS = "files.break_glass", on_file(frozenset({RelationKind.ADMIN}), UNTIL_SHREDDED)
    GRANT_LIST = "files.grants.list", on_file(WATCHERS | {RelationKind.OWNER, RelationKind.LEAD})
    GRANT_SET = (
        "files.grants.create",
        on_file(frozenset({RelationKind.OWNER, RelationKind.LEAD}), UNTIL_ARCHIVED, roles=INVESTIGATORS),
    )
    GRANT_REVOKE = "files.grants.revoke", on_file(MANAGERS | {RelationKind.OWNER})
    GRANT_DECLINE = "files.grants.decline", on_file(frozenset({RelationKind.GRANTEE}))

    CASE_CREATE = "cases.create", Rule(roles=INVESTIGATORS)
    CASE_LIST = "cases.list", Rule(roles=EVERYONE)
    CASE_READ = "cases.read", on_case(SEE_CASE)
    CASE_UPDATE = "cases.update", on_case(MANAGERS, UNTIL_CLOSED)
    CASE_STATUS = "cases.update_status", on_case(MANAGERS, UNTIL_SHREDDED)
    CASE_DELETE = "cases.delete", on_case(MANAGERS, UNTIL_CLOSED)
    MEMBER_LIST = "cases.members.list", on_case(TEAM | WATCHERS)
    MEMBER_SET = "cases.members.set", on_case(MANAGERS, UNTIL_ARCHIVED)
    MEMBER_REMOVE = "cases.members.delete", on_case(MANAGERS)
    MEMBER_LEAVE = "cases.members.leave", on_case(TEAM | {RelationKind.UPLOADER})
    GLASS_LIST = "cases.break_glass.list", on_case(WATCHERS | {RelationKind.LEAD}, roles=OVERSEERS)

    LINK_LIST = "links.list", Rule(roles=EVERYONE)
    LINK_FILES = "links.create_for_files", on_file(AUTHORS, UNTIL_CLOSED)  # a reader cannot share a file
    LINK_CASE = "links.create_for_case", on_case(frozenset({RelationKind.LEAD}), UNTIL_CLOSED)
    LINK_UPLOAD = "links.create_for_upload", on_case(AUTHORS, UNTIL_CLOSED)
    CASE_LINK_LIST = "cases.links.list", on_case(SEE_LINKS)
    CASE_LINK_REVOKE = "cases.links.revoke", Rule(stands=MANAGERS, known_to=SEE_LINKS)

    USER_MANAGE = "users.manage", Rule(roles=OPERATORS)
    JOB_MANAGE = "jobs.manage", Rule(roles=OPERATORS)
    KEY_MANAGE = "keys.manage", Rule(roles=OPERATORS)
    CASE_SHRED = "cases.shred", Rule(roles=OPERATORS)
    SESSION_LIST = "sessions.list", Rule(on_others=OVERSEERS)
    SESSION_END = "sessions.revoke", Rule(on_others=OPERATORS)
    TOKEN_LIST = "tokens.list", Rule(on_others=OVERSEERS)
    TOKEN_REVOKE = "tokens.revoke", Rule(on_others=OPERATORS)
    GRANTS_OF_ACCOUNT = "grants.list", Rule(on_others=OVERSEERS, permission_on_others=None)
    LINK_REVOKE = "links.revoke", Rule(on_others=OPERATORS)
