"""Access tokens: one shape is let in; the catalogue of all others is not, and never with another error."""

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jose import jwe, jws, jwt

from portal.core.errors import NotSignedIn
from portal.core.secrets import Secret, purpose_keys
from portal.features.identity.tokens import LIFETIME, AccessClaims, AccessTokens

SECRET, OLDER, FOREIGN = Secret(b"n" * 32), Secret(b"o" * 32), Secret(b"f" * 32)
CLAIMS = AccessClaims(UUID(int=0x5EB), UUID(int=0x51D))
NOW = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
TOKENS = AccessTokens([SECRET, OLDER])
(KEY,) = purpose_keys([SECRET], "access token")
HEADER: dict[str, Any] = {"alg": "HS256", "kid": KEY.kid, "typ": "at+jwt"}
BODY: dict[str, Any] = {
    "iss": "portal",
    "aud": "portal-api",
    "sub": str(CLAIMS.user_id),
    "sid": str(CLAIMS.session_id),
    "jti": "j",
    "iat": int(NOW.timestamp()),
    "exp": int((NOW + LIFETIME).timestamp()),
}


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def as_json(value: object) -> str:
    """The way the portal writes JSON; text goes through as it is."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def sealed(body: object = BODY, header: object = HEADER, key: bytes = KEY.key.reveal(), digest: str = "sha256") -> str:
    """A token signed by hand, whatever it says."""
    message = f"{encoded(as_json(header).encode())}.{encoded(as_json(body).encode())}"
    return f"{message}.{encoded(hmac.digest(key, message.encode(), digest))}"


def without(name: str) -> dict[str, Any]:
    return {claim: value for claim, value in BODY.items() if claim != name}


def with_text(name: str, text: str) -> str:
    """The body as JSON, with `text` itself as the value of one claim."""
    return as_json(BODY | {name: "@"}).replace('"@"', text)


def refused(token: str, now: datetime = NOW) -> bool:
    try:
        TOKENS.read(token, now)
    except NotSignedIn:
        return True
    return False


def test_a_token_that_was_issued_is_read() -> None:
    assert TOKENS.read(TOKENS.issue(CLAIMS, NOW), NOW) == CLAIMS


def test_a_token_made_by_hand_exactly_so_is_read() -> None:
    """What makes every refusal below mean something."""
    assert TOKENS.read(sealed(), NOW) == CLAIMS


def test_the_shape_of_a_token() -> None:
    header, body, signature = TOKENS.issue(CLAIMS, NOW).split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == HEADER
    told = json.loads(base64.urlsafe_b64decode(body + "=="))
    assert told | {"jti": "j"} == BODY
    assert UUID(told["jti"]).version == 7
    assert len(base64.urlsafe_b64decode(signature + "==")) == 32


def test_every_token_has_an_id_of_its_own() -> None:
    assert TOKENS.issue(CLAIMS, NOW) != TOKENS.issue(CLAIMS, NOW)


def test_a_token_lasts_exactly_its_lifetime() -> None:
    born = NOW.replace(microsecond=0)
    token = TOKENS.issue(CLAIMS, born)
    assert TOKENS.read(token, born + LIFETIME - timedelta(microseconds=1)) == CLAIMS
    assert refused(token, born + LIFETIME)
    assert refused(token, born + timedelta(days=365))


def test_time_is_judged_by_the_portals_clock_alone() -> None:
    for year in (1990, 2026, 2100):
        then = datetime(year, 1, 1, tzinfo=UTC)
        token = TOKENS.issue(CLAIMS, then)
        assert TOKENS.read(token, then) == CLAIMS
        assert refused(token, then + LIFETIME)


def test_an_older_key_still_in_the_list_verifies_and_a_removed_one_does_not() -> None:
    token = AccessTokens([OLDER]).issue(CLAIMS, NOW)
    assert TOKENS.read(token, NOW) == CLAIMS
    assert AccessTokens([FOREIGN, SECRET, OLDER]).read(token, NOW) == CLAIMS
    for keys in ([SECRET], [FOREIGN, SECRET]):
        with pytest.raises(NotSignedIn):
            AccessTokens(keys).read(token, NOW)


def test_the_newest_key_signs() -> None:
    token = TOKENS.issue(CLAIMS, NOW)
    assert AccessTokens([SECRET]).read(token, NOW) == CLAIMS
    with pytest.raises(NotSignedIn):
        AccessTokens([OLDER]).read(token, NOW)


def test_without_a_key_there_are_no_tokens() -> None:
    with pytest.raises(RuntimeError):
        AccessTokens([])


WORDS = ["none", "None", "NONE", "nOnE", "", "HS384", "HS512", "RS256", "ES256", "hs256", "HS256 ", "A256KW"]
NO_WORDS: list[Any] = [["HS256"], ["none"], 256, None, True, {}, {"alg": "HS256"}]


@pytest.mark.parametrize("algorithm", [*WORDS, *NO_WORDS], ids=repr)
@pytest.mark.parametrize("signature", ["none", "ours", "empty key"])
def test_another_algorithm(algorithm: object, signature: str) -> None:
    header = HEADER | {"alg": algorithm}
    by_us, by_nobody = sealed(header=header), sealed(header=header, key=b"")
    assert refused({"none": by_us.rpartition(".")[0] + ".", "ours": by_us, "empty key": by_nobody}[signature])


@pytest.mark.parametrize("digest", ["sha384", "sha512"])
def test_another_digest_under_our_key(digest: str) -> None:
    assert refused(sealed(header=HEADER | {"alg": f"HS{digest[3:]}"}, digest=digest))
    assert refused(sealed(digest=digest))


def test_an_algorithm_left_out() -> None:
    assert refused(sealed(header={name: value for name, value in HEADER.items() if name != "alg"}))


def public_keys() -> list[bytes]:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return [pem, pem.rstrip(), der, public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)]


FOREIGN_KEYS = [b"", b"\0" * 32, SECRET.reveal(), OLDER.reveal(), KEY.kid.encode(), b"changeme", *public_keys()]


@pytest.mark.parametrize("key", FOREIGN_KEYS, ids=range(len(FOREIGN_KEYS)))
def test_another_key(key: bytes) -> None:
    assert refused(sealed(key=key))


@pytest.mark.parametrize("purpose", ["refresh token", "share", "cursor", "upload", "", "access token "])
def test_the_key_of_another_purpose(purpose: str) -> None:
    (other,) = purpose_keys([SECRET], purpose)
    assert refused(sealed(key=other.key.reveal()))
    assert refused(sealed(header=HEADER | {"kid": other.kid}, key=other.key.reveal()))


@pytest.mark.parametrize("kind", ["JWT", "at+JWT", "refresh+jwt", "share+jwt", "", None, 7, ["at+jwt"]], ids=repr)
def test_a_token_of_another_kind(kind: object) -> None:
    assert refused(sealed(header=HEADER | {"typ": kind}))


def test_a_kind_left_out() -> None:
    assert refused(sealed(header={"alg": "HS256", "kid": KEY.kid}))


EXTRA_HEADERS: list[dict[str, Any]] = [
    {"crit": ["exp"]},
    {"crit": ["x"], "x": 1},
    {"crit": []},
    {"b64": False},
    {"b64": False, "crit": ["b64"]},
    {"jku": "https://attacker.example/keys.json"},
    {"x5u": "https://attacker.example/chain.pem"},
    {"jwk": {"kty": "oct", "k": encoded(b"a" * 32)}},
    {"x5c": ["MIIB"]},
    {"zip": "DEF"},
    {"enc": "A256GCM"},
    {"cty": "JWT"},
    {"alg2": "none"},
]


@pytest.mark.parametrize("extra", EXTRA_HEADERS, ids=as_json)
def test_a_header_that_says_more(extra: dict[str, Any]) -> None:
    assert refused(sealed(header=HEADER | extra))
    assert refused(sealed(header=HEADER | extra, key=b"a" * 32))


PATHS = ["../../dev/null", "/dev/null", "' OR 1=1 --", "${jndi:ldap://x}", "https://attacker.example/", "a" * 5_000]
NEARLY = ["", "0" * 16, KEY.kid + "\0", KEY.kid.upper(), KEY.kid[:-1], KEY.kid + "0", " " + KEY.kid]
NO_KIDS: list[Any] = [None, 0, True, [KEY.kid], {"kid": KEY.kid}]


@pytest.mark.parametrize("kid", [*PATHS, *NEARLY, *NO_KIDS], ids=lambda kid: repr(kid)[:24])
def test_another_kid(kid: object) -> None:
    for key in (KEY.key.reveal(), b"", b"\0" * 32):
        assert refused(sealed(header=HEADER | {"kid": kid}, key=key))


def test_the_kid_of_one_key_and_the_signature_of_another() -> None:
    (older,) = purpose_keys([OLDER], "access token")
    assert refused(sealed(key=older.key.reveal()))
    assert refused(sealed(header=HEADER | {"kid": older.kid}))
    assert not refused(sealed(header=HEADER | {"kid": older.kid}, key=older.key.reveal()))


HEADERS: dict[str, object] = {
    "another order": '{"typ":"at+jwt","kid":"%s","alg":"HS256"}' % KEY.kid,  # noqa: UP031  # braces
    "spaces": json.dumps(HEADER),
    "twice the algorithm": as_json(HEADER)[:-1] + ',"alg":"HS256"}',
    "twice another algorithm": '{"alg":"none",' + as_json(HEADER)[1:],
    "an escape": as_json(HEADER).replace("HS256", "HS25\\u0036"),
    "a list": [HEADER],
    "a number": 7,
    "a string": '"HS256"',
    "null": None,
    "true": True,
    "nothing": "",
    "no JSON": "{",
    "an infinity": '{"alg":Infinity}',
    "a lone surrogate": '{"alg":"\\ud800"}',
    "nested 2,000 deep": '{"a":' * 2_000 + "1" + "}" * 2_000,
    "a list nested 2,000 deep": "[" * 2_000 + "]" * 2_000,
    "nested and never closed": "[" * 4_000,
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=list(HEADERS))
def test_another_header(header: object) -> None:
    assert refused(sealed(header=header))


@pytest.mark.parametrize("claim", list(BODY))
def test_a_claim_left_out(claim: str) -> None:
    assert refused(sealed(without(claim)))


IAT, EXP = BODY["iat"], BODY["exp"]
ODD_EXPIRIES = {
    "a string": f'"{EXP}"',
    "words": '"tomorrow"',
    "not a number": "NaN",
    "infinity": "Infinity",
    "minus infinity": "-Infinity",
    "infinity by another name": "1e400",
    "a large float": "1e300",
    "true": "true",
    "false": "false",
    "null": "null",
    "a fraction": f"{EXP}.5",
    "a float": f"{EXP}.0",
    "an exponent": "2e9",
    "a list": f"[{EXP}]",
    "an object": "{}",
    "zero": "0",
    "the past": str(IAT - 1),
    "now": str(IAT),
    "before the epoch": str(-EXP),
    "milliseconds ago": "-1",
    "one second more than a token lasts": str(EXP + 1),
    "in a year": str(EXP + 31_536_000),
    "in milliseconds": str(EXP * 1000),
    "beyond any calendar": str(10**30),
    "more digits than Python reads": "9" * 5_000,
}


@pytest.mark.parametrize("expiry", ODD_EXPIRIES.values(), ids=list(ODD_EXPIRIES))
def test_an_odd_expiry(expiry: str) -> None:
    assert refused(sealed(with_text("exp", expiry)))


ODD_TEXTS: dict[str, Any] = {
    "null": None,
    "a number": 7,
    "true": True,
    "a list": ["portal"],
    "an object": {"portal": 1},
    "a lone surrogate": "\ud800",
}


@pytest.mark.parametrize("birth", ["Infinity", "1e400", "NaN", '"now"', "true", "null", "[]", "{}", "1.5", f'"{IAT}"'])
def test_an_odd_time_of_birth(birth: str) -> None:
    assert refused(sealed(with_text("iat", birth)))


@pytest.mark.parametrize("born", [IAT + 61, IAT + 86_400, IAT - 1, 0, -IAT, 10**30])
def test_a_token_that_our_own_key_made_longer_or_for_later(born: int) -> None:
    """Whatever signed it: none is good for longer than fifteen minutes, and none before its time."""
    lasting = BODY["exp"] - IAT
    assert refused(sealed(BODY | {"iat": born, "exp": max(EXP, born + lasting)}))


def test_two_machines_whose_clocks_differ_by_a_minute_believe_each_other() -> None:
    for ahead in (0, 1, 60):
        assert TOKENS.read(sealed(BODY | {"iat": IAT + ahead, "exp": EXP + ahead}), NOW) == CLAIMS


@pytest.mark.parametrize("value", ODD_TEXTS.values(), ids=list(ODD_TEXTS))
@pytest.mark.parametrize("claim", ["iss", "sub", "sid", "aud"])
def test_an_odd_claim(claim: str, value: object) -> None:
    assert refused(sealed(BODY | {claim: value}))


@pytest.mark.parametrize("value", [None, 7, True, ["j"], {}], ids=repr)
def test_an_odd_token_id(value: object) -> None:
    assert refused(sealed(BODY | {"jti": value}))


@pytest.mark.parametrize("value", ["", "portal ", "Portal", "other", "portal\0", "https://portal"])
def test_another_issuer(value: str) -> None:
    assert refused(sealed(BODY | {"iss": value}))


@pytest.mark.parametrize(
    "value",
    [
        *("", "portal", "portal-api ", "PORTAL-API", ["portal"], [], [7], [["portal-api"]]),
        *(["portal-api"], ["portal-api", "other"], ["portal-api", "portal-api"]),
    ],
    ids=repr,
)
def test_another_audience(value: object) -> None:
    assert refused(sealed(BODY | {"aud": value}))


@pytest.mark.parametrize("value", ["", "admin", "0" * 31, "../x", "x" * 100, "user:1"])
@pytest.mark.parametrize("claim", ["sub", "sid"])
def test_a_subject_or_session_that_is_no_id(claim: str, value: str) -> None:
    assert refused(sealed(BODY | {claim: value}))


BODIES: dict[str, object] = {
    "a list": [BODY],
    "a string": '"portal"',
    "a number": 7,
    "null": None,
    "empty": {},
    "nothing": "",
    "no JSON": "{",
    "no text": "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "nested 1,000 deep": with_text("jti", "[" * 1_000 + "]" * 1_000),
    "nested 2,900 deep": "[" * 2_900 + "]" * 2_900,
    "an issuer from before the duplicate": '{"iss":"portal",' + as_json(BODY | {"iss": "other"})[1:],
}


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_another_body(body: object) -> None:
    assert refused(sealed(body))


def test_of_two_claims_of_one_name_the_last_counts_and_only_we_can_sign_such_a_token() -> None:
    other = UUID(int=7)
    token = sealed(f'{{"sub":"{other}",' + as_json(BODY)[1:])
    assert TOKENS.read(token, NOW) == CLAIMS


GOOD = sealed()
HEAD, PAYLOAD, SIGNATURE = GOOD.split(".")
SHAPES = {
    "empty": "",
    "a dot": ".",
    "two dots": "..",
    "three dots": "...",
    "a space": " ",
    "a newline": "\n",
    "a trailing newline": GOOD + "\n",
    "a trailing space": GOOD + " ",
    "a leading space": " " + GOOD,
    "a leading newline": "\n" + GOOD,
    "a byte order mark": "\ufeff" + GOOD,
    "a scheme": "Bearer " + GOOD,
    "quotes": f'"{GOOD}"',
    "a NUL": GOOD + "\0",
    "a lone surrogate": GOOD + "\ud800",
    "another part": GOOD + ".x",
    "an empty part": GOOD + ".",
    "five parts": f"{GOOD}.{PAYLOAD}.{SIGNATURE}",
    "no signature": f"{HEAD}.{PAYLOAD}.",
    "no signature and no dot": f"{HEAD}.{PAYLOAD}",
    "only a header": HEAD,
    "a header and dots": HEAD + "..",
    "no header": f".{PAYLOAD}.{SIGNATURE}",
    "no body": f"{HEAD}..{SIGNATURE}",
    "a padded header": f"{HEAD}=.{PAYLOAD}.{SIGNATURE}",
    "a padded body": f"{HEAD}.{PAYLOAD}=.{SIGNATURE}",
    "parts in another order": f"{PAYLOAD}.{HEAD}.{SIGNATURE}",
    "the signature cut": GOOD[:-1],
    "one byte of signature": f"{HEAD}.{PAYLOAD}.AA",
    "a newline in the body": f"{HEAD}.{PAYLOAD[:9]}\n{PAYLOAD[9:]}.{SIGNATURE}",
    "full-width letters": GOOD.translate({ord("A") + n: 0xFF21 + n for n in range(26)}),
    "a megabyte": "a" * 1_000_000,
    "a megabyte of dots": "." * 1_000_000,
    "a megabyte after the header": f"{HEAD}." + "a" * 1_000_000,
    "a good token that is too long": sealed(BODY | {"padding": "x" * 8_192}),
    "a key instead": KEY.key.reveal().hex(),
}


@pytest.mark.parametrize("token", SHAPES.values(), ids=list(SHAPES))
def test_another_shape(token: str) -> None:
    assert refused(token)


def test_a_token_at_the_limit_of_length_is_read_and_one_byte_more_is_not() -> None:
    def padded(room: int) -> str:
        return sealed(BODY | {"padding": "x" * room})

    longest = max(room for room in range(5_500, 6_200) if len(padded(room)) <= 8_192)
    assert TOKENS.read(padded(longest), NOW) == CLAIMS
    assert refused(padded(longest + 1))


def test_every_changed_character_is_refused() -> None:
    for at, character in enumerate(GOOD):
        for other in "A_9.=":
            assert other == character or refused(GOOD[:at] + other + GOOD[at + 1 :])


@pytest.mark.parametrize("tail", ["=", "==", "\n\n", "!!"])
def test_a_signature_has_one_spelling(tail: str) -> None:
    assert refused(GOOD + tail)


def test_a_token_of_the_same_library_made_plainly() -> None:
    plain = jwt.encode(dict(BODY), KEY.key.reveal(), algorithm="HS256")
    assert refused(plain)
    assert refused(jwt.encode(dict(BODY), KEY.key.reveal(), algorithm="HS512", headers=HEADER | {"alg": "HS512"}))
    assert refused(jws.sign(b"not claims", KEY.key.reveal(), headers=HEADER))
    assert not refused(jwt.encode(dict(BODY), KEY.key.reveal(), algorithm="HS256", headers=HEADER))


@pytest.mark.parametrize("zipped", [None, "DEF"])
def test_an_encrypted_token(zipped: str | None) -> None:
    inner = sealed(BODY | {"padding": "x" * 200_000}) if zipped else GOOD
    outer = jwe.encrypt(inner, KEY.key.reveal(), algorithm="dir", encryption="A256GCM", zip=zipped)
    assert refused(outer.decode())


@given(st.text(max_size=60))
def test_no_text_makes_reading_fail(text: str) -> None:
    assert refused(text)
    assert refused(f"{HEAD}.{text}")
    assert refused(f"{HEAD}.{PAYLOAD}.{text}")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), st.lists, max_leaves=5))
def test_no_claim_makes_reading_fail(value: object) -> None:
    for claim in BODY:
        let_in = not refused(sealed(BODY | {claim: value}))
        assert not let_in or claim in {"exp", "iat", "jti"}
