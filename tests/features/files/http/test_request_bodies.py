"""Forms: the limit is that of the target, whether the query or a field names it."""

from uuid import UUID

import pytest
from fastapi import Request
from starlette.types import Message

from portal.core.errors import TooLarge
from portal.core.ids import new_id
from portal.features.files.http.request_bodies import MultipartFile

CASE = new_id()
ROOM = 1 << 20  # bytes a form may have beyond its file
FILE = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
CASE_FIELD = f'--edge\r\nContent-Disposition: form-data; name="case_id"\r\n\r\n{CASE}\r\n'.encode()


def form(head: bytes, announced: int) -> Request:
    """A form of so many bytes, of which the client has sent only the head."""
    messages: list[Message] = [{"type": "http.request", "body": head, "more_body": True}]

    async def receive() -> Message:
        return messages.pop()

    headers = {"content-type": "multipart/form-data; boundary=edge", "content-length": str(announced)}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)


def limit_for(case_id: UUID | None) -> int:
    return 100 if case_id == CASE else 1_000


@pytest.mark.parametrize("announced", [100 + ROOM, 101 + ROOM])
@pytest.mark.parametrize("case_id", [CASE, None], ids=["in the query", "in a field"])
async def test_a_form_has_the_limit_of_the_case_it_names(case_id: UUID | None, announced: int) -> None:
    request = form(FILE if case_id else CASE_FIELD + FILE, announced)
    if announced > 100 + ROOM:
        with pytest.raises(TooLarge):
            await MultipartFile.begin(request, limit_for, case_id=case_id)
    else:
        assert (await MultipartFile.begin(request, limit_for, case_id=case_id)).case_id == CASE


async def test_a_form_that_names_no_case_has_the_limit_of_the_inbox() -> None:
    arrival = await MultipartFile.begin(form(FILE, 1_000 + ROOM), limit_for)
    assert (arrival.case_id, arrival.name) == (None, "a.bin")
