"""A claim about any input, made a test over many inputs that says how many they were.

Comes in: a function whose arguments are drawn. Leaves: a test that runs it amount("FUZZED_EXAMPLES") times.
"""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .amounts import amount
from .conftest import Figures

_PROGRESS = 10_000
_Result = TypeVar("_Result")
Claim = Callable[..., None]


def fuzzed(**drawn: st.SearchStrategy[Any]) -> Callable[[Claim], Callable[[Figures], None]]:
    """`drawn` is a strategy for each argument. Nothing is remembered from run to run, and nothing is timed."""

    def of(claim: Claim) -> Callable[[Figures], None]:
        def test(figures: Figures) -> None:
            seen = 0

            def one(**inputs: Any) -> None:
                nonlocal seen
                seen += 1
                if seen % _PROGRESS == 0:
                    print(f"{claim.__name__}: {seen}", flush=True)
                claim(**inputs)

            every = settings(
                max_examples=amount("FUZZED_EXAMPLES"), database=None, suppress_health_check=list(HealthCheck)
            )
            every(given(**drawn)(one))()
            figures(examples=seen)

        return test

    return of


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of work that never waits: what it reads is there."""
    try:
        work.send(None)
    except StopIteration as done:
        result: _Result = done.value
        return result
    raise AssertionError("it waited")


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    """`body` in pieces, cut at any places."""
    ends = sorted({place % (len(body) + 1) for place in places} | {len(body)})
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@st.composite
def mangled(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes that were right, with some of them taken out, put in, doubled or changed."""
    body = draw(whole)
    for _ in range(draw(st.integers(0, 4))):
        start, end = sorted(draw(st.tuples(st.integers(0, len(body)), st.integers(0, len(body)))))
        put = draw(st.sampled_from([b"", body[start:end] * 2, b"\r\n", b'"', b"\0"]) | st.binary(max_size=8))
        body = body[:start] + put + body[min(end, start + draw(st.integers(0, 40))) :]
    return body
