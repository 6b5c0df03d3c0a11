"""What comes back to the portal, from any bytes at all: tokens, cursors, blobs, journal lines, settings.

Whatever was changed on the way is refused in the one way there is for it, and what is let in is what was given out.
"""

import contextlib
import json
import tempfile
import tracemalloc
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import strategies as st

from portal import config
from portal.core.cursor import Cursors
from portal.core.errors import ConfigError, IntegrityError, InvalidInput, NotSignedIn
from portal.core.secrets import Secret
from portal.crypto import blob
from portal.crypto.format import HEAD_SIZE, BlobContext, bound_head, read_context
from portal.crypto.layout import MAX_PLAIN, PRODUCTION, Layout
from portal.features.audit.events import Event, EventKind
from portal.features.identity.grant_errors import InvalidGrant
from portal.features.identity.refresh import RefreshTokens
from portal.features.identity.tokens import AccessClaims, AccessTokens
from portal.settings import Settings

from ..conftest import NO_DOTENV
from ..crypto.whole_blob import open_blob, seal_blob
from .fuzzing import fuzzed, mangled

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ONE, OTHER = UUID(int=1), UUID(int=2)
KEYS = [Secret(sha256(name).digest()) for name in (b"newest", b"older")]
CLAIMS = AccessClaims(ONE, OTHER)
ACCESS, REFRESH, CURSORS = AccessTokens(KEYS), RefreshTokens(KEYS), Cursors(KEYS)


def around(given_out: str) -> st.SearchStrategy[str]:
    """Texts like one that was given out, and texts that are not like it at all."""
    near = mangled(st.just(given_out.encode())).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
    parts = st.lists(st.sampled_from([*given_out.split("."), "", ".", "="]) | st.text(max_size=20), max_size=5)
    return near | parts.map(".".join) | st.text(max_size=300)


def spelling(text: str) -> str:
    """Without what base64 does not count: the last character holds bits of nothing."""
    return text.rstrip("=\n")[:-1]


ACCESS_TOKEN = ACCESS.issue(CLAIMS, NOW)


@fuzzed(token=around(ACCESS_TOKEN))
def test_an_access_token_is_the_one_given_out_or_not_signed_in(token: str) -> None:
    with contextlib.suppress(NotSignedIn):
        assert ACCESS.read(token, NOW) == CLAIMS
        assert token.startswith(spelling(ACCESS_TOKEN))


REFRESH_TOKEN, REFRESH_DIGEST = REFRESH.issue(ONE)


@fuzzed(token=around(REFRESH_TOKEN))
def test_a_refresh_token_is_the_one_given_out_or_no_grant(token: str) -> None:
    with contextlib.suppress(InvalidGrant):
        assert REFRESH.read(token) == (ONE, REFRESH_DIGEST)
        assert token == REFRESH_TOKEN


CURSOR = CURSORS.write((NOW, ONE), "filters")


@fuzzed(cursor=around(CURSOR), filters=st.sampled_from(["filters", "others", ""]))
def test_a_cursor_is_the_one_given_out_for_this_listing_or_refused(cursor: str, filters: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert CURSORS.read(cursor, filters) == (NOW, ONE)
        assert filters == "filters"
        assert cursor.startswith(spelling(CURSOR))


SMALL = Layout(128)
PLACE, FILE_KEY = BlobContext(ONE, OTHER), sha256(b"file key").digest()
PLAIN = bytes(range(256)) * 2
BLOB = seal_blob(PLAIN, PLACE, FILE_KEY, SMALL)


@fuzzed(stored=mangled(st.just(BLOB)) | st.binary(max_size=700) | st.binary(max_size=700).map(BLOB[:HEAD_SIZE].__add__))
def test_a_blob_opens_as_it_was_sealed_or_is_damaged(stored: bytes) -> None:
    if stored == BLOB:
        assert open_blob(stored, PLACE, FILE_KEY, SMALL) == PLAIN
        return
    with pytest.raises(IntegrityError):
        open_blob(stored, PLACE, FILE_KEY, SMALL)


HEAD = bound_head(PLACE, PRODUCTION.segment) + bytes(32)


@fuzzed(
    head=mangled(st.just(HEAD)) | st.binary(max_size=200) | st.binary(min_size=124, max_size=124).map(b"SFP1".__add__)
)
def test_a_head_has_one_spelling_for_each_place(head: bytes) -> None:
    with contextlib.suppress(IntegrityError):
        place = read_context(head, PRODUCTION.segment)
        assert bound_head(place, PRODUCTION.segment) == head[:96]


sizes = st.integers(-(1 << 70), 1 << 70) | st.integers(0, 1 << 45) | st.integers(0, 4 << 20)


@fuzzed(stored=sizes, plain=st.integers(0, MAX_PLAIN))
def test_a_length_is_what_some_plaintext_has_or_damage(stored: int, plain: int) -> None:
    length = blob.stored_length(PRODUCTION, plain)
    assert blob.plain_length(PRODUCTION, length) == plain
    with contextlib.suppress(IntegrityError):
        assert blob.stored_length(PRODUCTION, blob.plain_length(PRODUCTION, stored)) == stored


PREAMBLE = blob.BlobSealer(PLACE, FILE_KEY, PRODUCTION).preamble


@fuzzed(preamble=mangled(st.just(PREAMBLE)), plain=st.integers(0, MAX_PLAIN), index=st.integers(0, 1 << 32))
def test_a_forged_blob_costs_no_memory_by_the_numbers_in_it(preamble: bytes, plain: int, index: int) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(IntegrityError):
            blob.BlobOpener(preamble, PLACE, FILE_KEY, PRODUCTION, plain).open(index, b"")
        assert tracemalloc.get_traced_memory()[1] < 256 << 10
    finally:
        tracemalloc.stop()


EVENT = Event(
    EventKind.FILE_DOWNLOAD_ENDED, "user:1", "file", details={"outcome": "complete", "sent": 7}, id=ONE, at=NOW
)
odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda x: st.lists(x) | st.dictionaries(st.text(max_size=5), x),
    max_leaves=5,
)
lines = st.fixed_dictionaries({name: odd | st.just(value) for name, value in json.loads(EVENT.canonical()).items()})


@fuzzed(
    line=mangled(st.just(EVENT.canonical().encode()))
    | lines.map(json.dumps).map(str.encode)
    | st.binary(max_size=80)
    | st.sampled_from([b"[" * 90_000, b"9" * 5_000])
)
def test_a_journal_line_is_an_event_or_refused(line: bytes) -> None:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        event = Event.from_canonical(line.decode())
        said = json.loads(line)
        assert (event.kind, event.id) == (said["event"], UUID(said["id"]))


VARIABLES = [f"PORTAL_{name.upper()}" for name in Settings.model_fields]
RIGHT = {"PORTAL_MASTER_KEY": sha256(b"master").hexdigest(), "PORTAL_SECRET_KEY": sha256(b"secret").hexdigest()}
settings_texts = st.text(max_size=30) | st.sampled_from(
    [
        "",
        "true",
        "production",
        "0",
        "-1",
        "1e9",
        "sqlite:///x",
        "postgresql://[::1",
        "postgresql://u:p@h:x/d",
        "env:X",
        "env:",
        "memory:",
        "file:///x",
        "10.0.0.0/33",
        "*",
        ",",
        "/dev/null",
        "/",
        "\0",
        "a\0b",
        "\ud800",
        RIGHT["PORTAL_MASTER_KEY"],
    ]
)
names = st.sampled_from([*VARIABLES, *(f"{name}_FILE" for name in VARIABLES), "PORTAL_NOTHING", "X", "X_FILE"])


CANARY = "c4n4ry" * 7
SECRETS = ["PORTAL_MASTER_KEY", "PORTAL_SECRET_KEY", "PORTAL_DATABASE_URL"]


@fuzzed(changes=st.dictionaries(names, settings_texts, max_size=5), secret=st.sampled_from(SECRETS) | st.none())
def test_settings_are_in_force_or_refused_in_lines_that_tell_no_secret(
    changes: dict[str, str], secret: str | None
) -> None:
    refusal = refused(RIGHT | changes | ({} if secret is None else {secret: CANARY}))
    assert refusal != ""
    assert CANARY not in (refusal or "")
    assert secret in {None, "PORTAL_MASTER_KEY"} or refusal  # a master key that no key URL names counts for nothing


def refused(variables: dict[str, str]) -> str | None:
    """All of its problems; None for settings that are in force."""
    try:
        config.load(variables, NO_DOTENV)
    except ConfigError as error:
        return "\n".join(error.problems)
    return None


lines_of_dotenv = st.tuples(
    names, st.sampled_from(["=", " = ", "", '="', "='"]), settings_texts, st.sampled_from(["\n", "", "\r\n", '"\n'])
)


@fuzzed(
    dotenv=st.binary(max_size=100)
    | st.lists(lines_of_dotenv.map("".join), max_size=5)
    .map("".join)
    .map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_dotenv_file_is_read_or_refused(dotenv: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(dotenv)
        file.flush()
        with contextlib.suppress(ConfigError):
            assert config.load(RIGHT, Path(file.name))[0].secret_keys
