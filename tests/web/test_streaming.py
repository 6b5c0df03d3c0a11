"""The download response: a name that every reader reads alike, and a source that is closed however the answer ends."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable
from email.message import Message as EmailMessage
from email.policy import HTTP
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import Message

from portal.core.errors import ClientGone, IntegrityError, NotSignedIn
from portal.web import streaming
from portal.web.streaming import OCTET_STREAM, DownloadAborted, DownloadResponse, attachment, prefetch_first

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)

MARK = "1a2b3c4d"


def parsed(header: str) -> tuple[str, str, str]:
    """(disposition, plain name, full name), read by hand: a token, a quoted string, an RFC 8187 value."""
    front, full = header.split("; filename*=", 1)
    kind, plain = front.split("; filename=", 1)
    assert plain[0] == plain[-1] == '"'
    charset, language, encoded = full.split("'", 2)
    assert (charset, language) == ("UTF-8", "")
    return kind, plain[1:-1], unquote(encoded, errors="strict")


@given(names)
@example('a"; filename="b.exe')
@example("a\r\nX-Evil: 1")
@example("a;filename=b.exe")
@example("\u202egpj.exe")
@example("%41%00")
@example("''")
@example("back\\slash")
@example("é 🔑 CON")
def test_any_name_comes_back_whole_and_never_breaks_out_of_its_header(name: str) -> None:
    header = attachment(name, MARK)
    assert header.isascii()
    assert header.isprintable()
    kind, plain, full = parsed(header)
    assert kind == "attachment"
    assert full == name
    assert not set(plain) & set('"\\%')
    assert len(plain) == len(name) or (MARK in plain and len(plain) <= max(255, len(name)))


@pytest.mark.parametrize(
    "name", ["a.txt", "a b.txt", "é.txt", 'a"; filename="b.exe', "a;b=c.txt", "100%.txt", "日本.pdf"]
)
def test_another_parser_reads_the_same_name(name: str) -> None:
    message = EmailMessage(HTTP)
    message["Content-Disposition"] = "attachment; " + attachment(name, MARK).rpartition("; ")[2]
    assert message.get_content_disposition() == "attachment"
    assert message.get_filename() == name


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("报告一.pdf", "___-1a2b3c4d.pdf"),
        ("报告二.tar.gz", "___.tar-1a2b3c4d.gz"),
        ("é", "_-1a2b3c4d"),
        (".é", "._-1a2b3c4d"),
        ("é" * 120 + "." + "x" * 10, "_" * 120 + "-1a2b3c4d." + "x" * 10),
        ("é" + "x" * 250 + ".txt", "_" + "x" * 241 + "-1a2b3c4d.txt"),
        ("é." + "x" * 250, "_." + "x" * 244 + "-1a2b3c4d"),
    ],
)
def test_names_that_ascii_cannot_tell_apart_have_a_mark(name: str, plain: str) -> None:
    assert parsed(attachment(name, MARK))[1] == plain


def test_a_plain_name_stays_as_it_is() -> None:
    assert attachment("report-1.pdf", MARK) == "attachment; filename=\"report-1.pdf\"; filename*=UTF-8''report-1.pdf"


class Source:
    """Chunks that know whether they were closed."""

    def __init__(self, *chunks: bytes | memoryview | Exception) -> None:
        self._chunks = chunks
        self.given, self.closed = 0, False

    async def read(self) -> AsyncGenerator[bytes | memoryview, None]:
        try:
            for chunk in self._chunks:
                if isinstance(chunk, Exception):
                    raise chunk
                self.given += 1
                yield chunk
                await asyncio.sleep(0)
        finally:
            self.closed = True


class Client:
    """The other end of an answer: takes messages, and leaves or breaks when told to."""

    def __init__(self, *, breaks_at: int | None = None, leaves_at: int | None = None) -> None:
        self.messages: list[Message] = []
        self._breaks_at, self._leaves_at = breaks_at, leaves_at
        self._left = asyncio.Event()

    async def receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if len(self.messages) == self._breaks_at:
            raise OSError("broken")
        self.messages.append(message)
        if len(self.messages) == self._leaves_at:
            self._left.set()
            await asyncio.sleep(0)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def ended(self) -> bool:
        return bool(self.messages) and self.messages[-1].get("more_body") is False


async def allowed() -> None:
    """The right has not ended."""


async def answer(source: Source, status: int = 200, judge: Callable[[], Awaitable[None]] = allowed) -> DownloadResponse:
    chunks = await prefetch_first(source.read())
    return DownloadResponse(chunks, judge, status=status, headers={"Content-Length": "6"})


SPECS = pytest.mark.parametrize("spec", ["2.3", "2.4"])


def scope(spec: str) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "headers": [], "asgi": {"version": "3.0", "spec_version": spec}}


@SPECS
async def test_a_download_is_sent_as_bytes_with_its_length(spec: str) -> None:
    source, client = Source(b"abc", b"def"), Client()
    await (await answer(source, 206))(scope(spec), client.receive, client.send)
    start = client.messages[0]
    assert start["status"] == 206
    assert (b"content-length", b"6") in start["headers"]
    assert (b"content-type", OCTET_STREAM.encode()) in start["headers"]
    assert client.body == b"abcdef"
    assert client.ended
    assert source.closed


@SPECS
@pytest.mark.parametrize("breaks_at", [0, 1, 2])
async def test_a_connection_that_breaks_closes_the_source(spec: str, breaks_at: int) -> None:
    source, client = Source(b"abc", b"def"), Client(breaks_at=breaks_at)
    download = await answer(source)
    with pytest.raises(Exception):  # noqa: B017  # OSError or ClientDisconnect, as the server's version has it
        await download(scope(spec), client.receive, client.send)
    assert source.closed
    assert not client.ended


async def test_a_client_that_leaves_closes_the_source_early() -> None:
    source, client = Source(*[b"x"] * 1000), Client(leaves_at=3)
    await (await answer(source))(scope("2.3"), client.receive, client.send)
    assert source.closed
    assert source.given < 10
    assert not client.ended


@SPECS
async def test_a_source_that_fails_in_the_middle_never_ends_the_answer(spec: str) -> None:
    source, client = Source(b"abc", IntegrityError()), Client()
    download = await answer(source)
    with pytest.raises(DownloadAborted):
        await download(scope(spec), client.receive, client.send)
    assert client.body == b"abc"
    assert not client.ended
    assert source.closed


async def test_a_right_that_ends_while_the_client_takes_nothing_ends_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming, "_JUDGED_SECONDS", 0.0)
    judgements = iter([None, None, NotSignedIn()])

    async def judge() -> None:
        if error := next(judgements):
            raise error

    async def stuck(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    source, client = Source(b"abc", b"def"), Client()
    download = await answer(source, judge=judge)
    with pytest.raises(DownloadAborted) as aborted:
        await asyncio.wait_for(download(scope("2.3"), client.receive, stuck), 20)
    assert aborted.value.right_ended
    assert source.closed


async def test_of_a_client_that_is_gone_no_chunk_stays_in_memory() -> None:
    async def gone(message: Message) -> None:
        if message.get("body"):
            raise ClientGone

    room = bytearray(b"abc")
    gc.disable()
    try:
        with pytest.raises(DownloadAborted):
            await (await answer(Source(memoryview(room))))(scope("2.3"), Client().receive, gone)
        room.append(0)  # Python refuses that while anybody sees it
    finally:
        gc.enable()


async def test_a_cancelled_answer_closes_the_source() -> None:
    waiting = asyncio.Event()

    async def stuck(message: Message) -> None:
        if message["type"] == "http.response.body":
            waiting.set()
            await asyncio.Event().wait()

    source, client = Source(b"abc", b"def"), Client()
    task = asyncio.create_task((await answer(source))(scope("2.3"), client.receive, stuck))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed


async def test_an_answer_that_was_never_begun_closes_the_source() -> None:
    source = Source(b"abc")
    chunks = await prefetch_first(source.read())
    assert not source.closed
    await chunks.aclose()
    assert source.closed


@pytest.mark.parametrize("chunks", [(), (b"a",), (b"a", b"b", b"c")])
async def test_priming_changes_no_byte(chunks: tuple[bytes, ...]) -> None:
    source = Source(*chunks)
    assert [chunk async for chunk in await prefetch_first(source.read())] == list(chunks)
    assert source.closed


async def test_priming_fetches_the_first_chunk_and_no_more() -> None:
    source = Source(b"a", b"b")
    chunks = await prefetch_first(source.read())
    assert source.given == 1
    assert await anext(chunks) == b"a"
    await chunks.aclose()
    assert source.closed


async def test_what_fails_at_once_fails_before_the_status_line() -> None:
    source = Source(IntegrityError())
    with pytest.raises(IntegrityError):
        await prefetch_first(source.read())
    assert source.closed


async def test_what_fails_later_fails_in_its_place() -> None:
    source = Source(b"a", IntegrityError())
    chunks = await prefetch_first(source.read())
    assert await anext(chunks) == b"a"
    with pytest.raises(IntegrityError):
        await anext(chunks)
    assert source.closed
