"""The statements of listings: one for each shape, built once. Each reads about a page, however many files there are.

Comes in: a shape. Leaves: a statement, whose values are bound with each call. Next: `listing` executes it.

A caller sees files in several ways: those of its inbox, those of each of its cases, those of a grant. No file is seen
in two of them. Each way has an index that holds the order, so it yields its first rows without a sort; the first of all
of them are the page. Where a filter leaves few files, they are read by its own index instead, and judged one by one.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    String,
    Subquery,
    UnaryExpression,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.sql.operators import custom_op

from portal.db.statements import among, one_of, scanning
from portal.db.tables import table
from portal.features.authz.relation import CaseRole, Tlp
from portal.features.cases.models import CaseRow, MemberRow
from portal.features.files import grant_rows, repository
from portal.features.files.listing_shape import Shape
from portal.features.files.models import FileRow

_files = table(FileRow)
_cases = table(CaseRow)
_members = table(MemberRow)
_USER = bindparam("user", type_=_files.c.owner_id.type)
_MOMENT = bindparam("moment", type_=_files.c.created_at.type)
_MOST = bindparam("most", type_=_files.c.version.type)
_ALL = bindparam("all", type_=_files.c.size.type)
_LAST = bindparam("last", type_=_files.c.version.type)


_JUDGED = [*repository.SHOWN, _files.c.name_folded]  # the page's columns, and those that conditions look at
_OF_RARE = {"sha256": ("sha256",), "kind": ("kind",), "other": ("other_from", "other_to")}


@cache
def statement(shape: Shape) -> Select[Any]:
    """The first `most` files of a listing of this shape."""
    if shape.rare or not shape.restricted:
        files = _few(shape) if shape.rare else _files
        judged = _visible(files, shape) if shape.restricted else true()
        found = select(*(files.c[column.name] for column in repository.SHOWN)).where(judged)
        return scanning(_first(found.where(*_conditions(files, shape)), files, shape))
    # Only the keys of each way's first rows are read; all columns only of the rows that are first in their union.
    every = _every(shape)
    first = _first(select(every.c.id), every, shape)
    return scanning(_first(select(*repository.SHOWN).where(_files.c.id.in_(first)), _files, shape))


def _every(shape: Shape) -> Subquery:
    """The keys of the first rows of all ways in which the user sees files."""
    return union_all(*(select(way.subquery()) for way in _ways(shape))).subquery()


@cache
def seen(shape: Shape) -> Select[Any]:
    """How many files a listing of this shape has, counted up to `most` in each way."""
    if shape.restricted:
        return scanning(select(func.count()).select_from(_every(shape)))
    every = _first(_keys(_files, shape).where(*_conditions(_files, shape)), _files, shape)
    return scanning(select(func.count()).select_from(every.subquery()))


@cache
def counted(shape: Shape) -> Select[Any]:
    """The number of files that match the filter `shape.selective`, counted up to `most`."""
    rare = shape.selective or ""
    by = _files.c[shape.other if rare == "other" else "created_at"]
    matching = _matching(shape, rare).order_by(by, _files.c.id)  # or Postgres, sure of many, goes through the table
    return scanning(select(func.count()).select_from(matching.limit(_MOST).subquery("few")))


def _few(shape: Shape) -> Subquery:
    """The files that match the filter `shape.rare`, by its own index; of a name those that were found."""
    if shape.rare == "name":
        listed = (repository.is_listed_everywhere(_files), among(_files.c.id, "ids", shape.dialect))
        return _fenced(select(*_JUDGED).where(*listed), "few")
    return _fenced(_matching(shape, shape.rare or "").with_only_columns(*_JUDGED), "few")


def _matching(shape: Shape, rare: str) -> Select[Any]:
    conditions = (_condition(name, _files, shape, alone=True) for name in _OF_RARE[rare] if name in shape.given)
    return select(_files.c.id).where(repository.is_listed_everywhere(_files), *conditions)


def _fenced(found: Select[Any], name: str) -> Subquery:
    """These rows as a table: with a limit, planners do not take conditions around it for another way to the rows."""
    return found.limit(_ALL).subquery(name)


def _ways(shape: Shape) -> list[Select[Any]]:
    """The keys of the first rows of each way in which the user sees files."""
    one_case = "case_id" in shape.given
    in_cases = _in_one_case if one_case else _in_cases
    ways = [] if one_case else [_inbox(shape)]
    if shape.roles:
        ways.append(in_cases(shape, own=False))
    if shape.roles != frozenset(CaseRole):
        ways.append(in_cases(shape, own=True))
    return [*ways, _granted(shape)] if shape.granted else ways


def _inbox(shape: Shape) -> Select[Any]:
    mine = and_(_files.c.owner_id == _USER, _files.c.case_id.is_(None))
    return _first(_keys(_files, shape).where(mine, *_conditions(_files, shape)), _files, shape)


def _granted(shape: Shape) -> Select[Any]:
    """Files that the user sees by a grant only: not its own, not in a case that it sees anyway, not in a RED case."""
    received = select(*_JUDGED).select_from(grant_rows.with_grants(_files))
    files = _fenced(received.where(grant_rows.received(_files, _USER, _MOMENT)), "received")
    judged = (_by_grant_only(files, shape), *_conditions(files, shape))
    return _first(_keys(files, shape).where(*judged), files, shape)


def _memberships(shape: Shape, *, own: bool) -> Select[Any]:
    """The cases of which the user sees all files or, with `own`, only its own."""
    roles = one_of(_members.c.role, (role for role in CaseRole if (role in shape.roles) != own))
    cases = select(_members.c.case_id).where(_members.c.user_id == _USER, roles)
    if "kind" not in shape.given or shape.newest:
        return cases
    files = _files.alias("of_kind")  # a case without a file of the kind is not searched for one
    of_kind = and_(files.c.case_id == _members.c.case_id, files.c.kind == bindparam("kind"))
    one = (
        select(files.c.id).where(of_kind, repository.is_listed(files)).limit(1)
    )  # Postgres counts EXISTS as all of them
    return cases.where(one.scalar_subquery().is_not(None))


def _in_one_case(shape: Shape, *, own: bool) -> Select[Any]:
    case = _memberships(shape, own=own).where(_members.c.case_id == bindparam("case_id")).scalar_subquery()
    found = _keys(_files, shape).where(_files.c.case_id == case, *_conditions(_files, shape, own=own))
    return _first(found, _files, shape)


def _in_cases(shape: Shape, *, own: bool) -> Select[Any]:
    """The first of the files of all these cases. Of each case at most a page is read, and only of the first cases.

    The first file of each case is read. As many cases as a page has rows can have a file on it: those whose first file
    comes first. The first file of the last of them is the floor: no file behind it is on the page.
    """
    floor = _floor(shape, own=own)
    mine, files = _memberships(shape, own=own).subquery("mine"), _files.alias("theirs")
    nearer = shape.without("far")  # which is in the bounds here: SQLite reads an index from one bound only
    in_case = and_(files.c.case_id == mine.c.case_id, *_conditions(files, nearer, own=own))
    bound = func.coalesce(floor, _end(shape))
    if shape.dialect == "postgresql":
        some = _keys(files, shape).where(in_case, _reaches(files, shape, bound))
        theirs = _first(some, files, shape).lateral("first")
        return _first(select(theirs).select_from(mine.join(theirs, true())), theirs, shape)
    other = _files.alias("others")  # SQLite has no LATERAL: the last row of a case's page bounds what is read of it
    last = select(other.c[shape.by]).where(other.c.case_id == mine.c.case_id, _reaches(other, shape, bound))
    last = _ordered(last.where(*_conditions(other, nearer, own=own)), other, shape).limit(1).offset(_LAST)
    bound = func.coalesce(last.correlate(mine).scalar_subquery(), floor, _end(shape))
    found = _keys(files, shape).select_from(mine.join(files, in_case)).where(_reaches(files, shape, bound))
    return _first(found, files, shape)


def _floor(shape: Shape, *, own: bool) -> ScalarSelect[Any]:
    """The place of the first file of the last case that can have a file on the page; NULL if all cases can."""
    each, files = _memberships(shape, own=own).subquery("each"), _files.alias("heads")
    first = select(files.c[shape.by]).where(files.c.case_id == each.c.case_id, *_conditions(files, shape, own=own))
    heads = select(_ordered(first, files, shape).limit(1).correlate(each).scalar_subquery().label("head"))
    head = heads.select_from(each).subquery("heads").c.head
    ordered = head.desc() if shape.newest else head
    return select(head).where(head.is_not(None)).order_by(ordered).limit(1).offset(_LAST).scalar_subquery()


def _visible(files: Any, shape: Shape) -> ColumnElement[bool]:
    """The condition that the user sees the file in any way."""
    anywhere = select(_members.c.case_id).where(_members.c.user_id == _USER)
    mine = and_(files.c.owner_id == _USER, or_(files.c.case_id.is_(None), files.c.case_id.in_(anywhere)))
    ways = [mine]
    if shape.roles:
        ways.append(files.c.case_id.in_(_memberships(shape, own=False)))
    if shape.granted:
        ways.append(and_(_by_grant_only(files, shape), grant_rows.granted(files, _USER, _MOMENT)))
    return or_(*ways)


def _by_grant_only(files: Any, shape: Shape) -> ColumnElement[bool]:
    colour = select(_cases.c.tlp).where(_cases.c.id == files.c.case_id).scalar_subquery()
    whole = _memberships(shape, own=False).where(_members.c.case_id == files.c.case_id).exists()
    return and_(files.c.owner_id != _USER, or_(files.c.case_id.is_(None), and_(colour != Tlp.RED.value, ~whole)))


def _conditions(files: Any, shape: Shape, *, own: bool = False) -> list[ColumnElement[bool]]:
    """What a file on the page must meet; with `own`, also that it is the user's."""
    listed = repository.is_listed_everywhere if shape.everywhere else repository.is_listed
    conditions = [listed(files)]
    conditions += [_condition(name, files, shape) for name in _NAMES if name in shape.given]
    if own:
        conditions.append(files.c.owner_id == _USER)
    return conditions


_NAMES = ("case_id", "name", "sha256", "kind", "near", "far", "other_from", "other_to", "after_time")


def _condition(name: str, files: Any, shape: Shape, *, alone: bool = False) -> ColumnElement[bool]:
    """`alone`: files are looked for by this condition; otherwise no index is to be taken that has another order."""
    by = files.c[shape.by]
    value: Any = bindparam(name)
    kind = _seen(files.c.kind, shape, indexed=alone or shape.newest)
    digest = _seen(files.c.sha256, shape, indexed=alone or (shape.newest and shape.everywhere))
    other = _seen(files.c[shape.other], shape, indexed=alone)
    ways: dict[str, Callable[[], ColumnElement[bool]]] = {
        "case_id": lambda: files.c.case_id == value,
        "name": lambda: files.c.name_folded.like(value, escape="/"),
        "sha256": lambda: digest == value,
        "kind": lambda: kind == value,
        "near": lambda: by <= value if shape.newest else by >= value,
        "far": lambda: _reaches(files, shape, value),
        "other_from": lambda: other >= value,
        "other_to": lambda: other < value,
        "after_time": lambda: _behind(files, shape),
    }
    return ways[name]()


def _seen(column: Any, shape: Shape, *, indexed: bool) -> Any:
    """The column or, unless it may be looked for in an index, an expression of the same value that no index has."""
    if indexed:
        return column
    if shape.dialect == "sqlite":
        return UnaryExpression(column, operator=custom_op("+"), type_=column.type)
    return column + "" if isinstance(column.type, String) else column  # Postgres knows how many files times leave


def _behind(files: Any, shape: Shape) -> ColumnElement[bool]:
    place: Any = tuple_(files.c[shape.by], files.c.id)
    after = tuple_(bindparam("after_time", type_=files.c.created_at.type), bindparam("after_id", type_=files.c.id.type))
    behind: ColumnElement[bool] = place < after if shape.newest else place > after
    return behind


def _reaches(files: Any, shape: Shape, bound: Any) -> ColumnElement[bool]:
    by = files.c[shape.by]
    reaches: ColumnElement[bool] = by >= bound if shape.newest else by <= bound
    return reaches


def _end(shape: Shape) -> Any:
    """The time at which the listing ends, in its order; without one, a time behind all others."""
    end = datetime(1, 1, 1, tzinfo=UTC) if shape.newest else datetime(9999, 12, 31, tzinfo=UTC)
    return (
        bindparam("far", type_=_files.c.created_at.type)
        if "far" in shape.given
        else literal(end, _files.c.created_at.type)
    )


def _keys(files: Any, shape: Shape) -> Select[Any]:
    return select(files.c[shape.by], files.c.id)


def _first(found: Select[Any], files: Any, shape: Shape) -> Select[Any]:
    return _ordered(found, files, shape).limit(_MOST)


def _ordered(found: Select[Any], files: Any, shape: Shape) -> Select[Any]:
    by = (files.c[shape.by], files.c.id)
    return found.order_by(*(column.desc() for column in by) if shape.newest else by)
