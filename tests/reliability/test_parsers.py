"""What strangers send, read from any input at all: each parser gives the one right reading or its own refusal.

Heads and headers here, bodies in `test_parsers_of_bodies.py`, what comes back to the portal in
`test_parsers_at_home.py`. Oracles are written from the RFCs, not from the parsers.
"""

import base64
import contextlib
import re
import unicodedata
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import unquote

from hypothesis import strategies as st
from starlette.datastructures import Headers

from portal.core.errors import InvalidInput, PreconditionFailed, RangeNotSatisfiable
from portal.features.files.file_names import MAX_NAME_BYTES, checked_name, download_name
from portal.web import conditional_requests
from portal.web.addresses import client_address
from portal.web.digests import announced_digest
from portal.web.errors import ValidationFailed
from portal.web.framing import HeadTooLarge, TargetTooLong
from portal.web.middleware import _check_head
from portal.web.streaming import attachment

from .fuzzing import fuzzed

TAG = f'"{"ab" * 32}"'
UNITS = ["bytes=", "Bytes=", "bytes", "bytes =", "items=", ""]
numbers = st.integers(0, 40).map(str) | st.sampled_from(["", "007", "9" * 19, "9" * 20, "+1", "1_0", "0x1", "٣", " 1"])
specs = st.tuples(numbers, st.sampled_from(["-", "-", "-", "--", "", " - "]), numbers).map("".join)
blanks = st.sampled_from(["", "", "", " ", "\t", "\xa0", "\n", "\x85"])
ranges = st.tuples(blanks, st.sampled_from(UNITS), st.lists(specs, max_size=3).map(",".join), blanks).map(
    "".join
) | st.text(st.characters(max_codepoint=255), max_size=20)


def positions(header: str, size: int) -> set[int] | None:
    """RFC 9110 14.1.2, a character at a time: the positions that one range names; None where it may be ignored."""
    unit, equals, wanted = header.strip(" \t").partition("=")
    first, dash, last = wanted.partition("-")
    digits = set("0123456789")
    plain = set(first) <= digits and set(last) <= digits and max(len(first), len(last)) <= 19
    if unit.lower() != "bytes" or not equals or not dash or not (first or last) or not plain:
        return None
    if not first:
        return {place for place in range(size) if size - place <= int(last)}
    if last and int(last) < int(first):
        return None
    return {place for place in range(size) if int(first) <= place and (not last or place <= int(last))}


@fuzzed(
    header=ranges, size=st.integers(0, 30), if_range=st.none() | st.sampled_from([TAG, f" {TAG}\t", f"W/{TAG}", "x"])
)
def test_a_range_is_read_as_rfc_9110_says(header: str, size: int, if_range: str | None) -> None:
    asked = positions(header, size)
    if if_range is not None and if_range.strip(" \t") != TAG:
        asked = None
    try:
        sent = {"range": header, "if-range": if_range}
        raw = [(name.encode(), text.encode("latin-1", "replace")) for name, text in sent.items() if text is not None]
        found = conditional_requests.range_request(Headers(raw=raw)).resolve(size, TAG)
    except RangeNotSatisfiable:
        assert asked == set()
        return
    assert asked == (set(range(found.start, found.start + found.length)) if found.partial else None)
    assert asked != set()


digests = st.binary(min_size=31, max_size=33).map(base64.b64encode) | st.binary(max_size=50).map(base64.b64encode)
members = st.tuples(
    st.sampled_from(["sha-256", "sha-512", "SHA-256", "sha-256 ", "", "unixsum"]),
    st.sampled_from(["=:", "=", ":", ""]),
    digests.map(bytes.decode) | st.text(max_size=10),
    st.sampled_from([":", ":;p=1", "", " :"]),
).map("".join)


@fuzzed(header=st.lists(members, max_size=3).map(", ".join) | st.text(max_size=80))
def test_a_digest_is_the_one_announced_or_refused(header: str) -> None:
    with contextlib.suppress(InvalidInput):
        digest = announced_digest([("repr-digest", header)])
        said = [member.strip(" \t") for member in header.split(",")]
        if digest is None:
            assert not any(said)  # whatever there is would have been sent to be verified
        else:
            (one,) = [member for member in said if member.lower().startswith("sha-256=")]
            assert (one[8], one[-1]) == (":", ":")
            assert base64.b64decode(one[9:-1]) == digest
            assert len(digest) == 32


@fuzzed(
    tag=st.tuples(blanks, st.sampled_from(['"', "", 'W/"']), numbers, st.sampled_from(['"', "", '","']), blanks).map(
        "".join
    )
    | st.text(max_size=9)
)
def test_if_match_names_a_version_in_its_one_spelling_or_matches_none(tag: str) -> None:
    plain = tag.strip(" \t")
    try:
        version = conditional_requests.expected_version(tag)
    except (PreconditionFailed, InvalidInput):
        assert plain != "*"
        return
    assert plain == ("*" if version is None else conditional_requests.version_tag(version))


names = st.text(st.characters(), max_size=80) | st.text(
    st.sampled_from(list('/\\.: \0\n"%;CONaux\u202e\u2066\u200b\ud800é\u0301😀')), max_size=300
)


@fuzzed(name=names)
def test_a_name_offered_for_saving_is_never_a_path_nor_deceiving(name: str) -> None:
    offered = download_name(name)
    assert 0 < len(offered.encode("utf-8")) <= 255
    assert not set(offered) & set('/\\<>:"|?*')
    assert offered not in {".", ".."}
    assert not [c for c in offered if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    assert not [c for c in offered if unicodedata.bidirectional(c) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI"}]
    assert download_name(offered) == offered
    header = attachment(offered, "1a2b3c4d")
    assert header.isascii()
    assert header.isprintable()
    plain, encoded = re.fullmatch(r"attachment; filename=\"([^\"\\]*)\"; filename\*=UTF-8''([!-~]*)", header).groups()  # type: ignore[union-attr]
    assert unquote(encoded) == offered
    assert plain == offered or ("1a2b3c4d" in plain and len(plain) <= 255)


@fuzzed(name=names)
def test_a_name_is_kept_as_it_is_or_refused(name: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert checked_name(name) == name
        assert 0 < len(name.encode("utf-8")) <= MAX_NAME_BYTES
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", name)


NETWORKS: list[IPv4Network | IPv6Network] = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]
addresses = st.ip_addresses().map(str) | st.sampled_from(
    ["10.0.0.2", "2001:db8::7", "::ffff:10.0.0.3", "6.6.6.6", "fe80::1%x"]
)
hops = (
    addresses
    | st.sampled_from(["", " ", "unknown", "6.6.6.6:80", "006.6.6.6", "[::1]"])
    | st.text(st.characters(max_codepoint=255), max_size=9)
)


@fuzzed(
    peer=addresses | st.none() | st.text(max_size=9),
    lines=st.lists(st.lists(hops, max_size=4).map(", ".join), max_size=3),
)
def test_an_address_is_the_peers_or_one_that_a_trusted_proxy_vouched_for(peer: str | None, lines: list[str]) -> None:
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in lines]
    scope = {"type": "http", "headers": headers, "client": None if peer is None else (peer, 1)}
    found = client_address(scope, NETWORKS)
    assert found == vouched(peer, ",".join(lines))
    assert found is None or str(ip_address(found)) == found


def without_port(hop: str) -> str:
    """`6.6.6.6:80`, `[::1]` and `[::1]:80` as some proxies write them."""
    host = re.sub(r"(?<=[\d\]]):\d{1,5}\Z", "", hop, flags=re.ASCII) if hop.count(":") == 1 or hop[:1] == "[" else hop
    return host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host


def vouched(peer: str | None, forwarded: str) -> str | None:
    """From the nearest hop outwards, for as long as each is trusted to name the next."""
    known = canonical(peer or "")
    for hop in reversed(forwarded.split(",")):
        if known is None or not trusted(known) or (further := canonical(without_port(hop.strip()))) is None:
            break
        known = further
    return known


def canonical(text: str) -> str | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return None if "%" in text else str(mapped or address)


def trusted(address: str) -> bool:
    return address.startswith(("10.", "2001:db8:"))


texts = st.binary(max_size=40)
heads = st.lists(
    st.tuples(
        st.sampled_from([b"host", b"content-length", b"transfer-encoding", b"range", b"if-match", b"x"]),
        st.sampled_from([b"chunked", b"3", b"+3", b"3, 3", b"9" * 20, b""]) | texts,
    ),
    max_size=6,
)


@fuzzed(
    headers=heads,
    path=texts.map(b"/".__add__),
    query=texts | st.lists(st.sampled_from([b"a=1", b"%61=2", b"&", b"%ff", b"%00", b"b"]), max_size=5).map(b"&".join),
    version=st.sampled_from(["1.0", "1.1"]),
)
def test_a_head_is_let_in_or_refused(
    headers: list[tuple[bytes, bytes]], path: bytes, query: bytes, version: str
) -> None:
    scope = {"headers": headers, "raw_path": path, "path": "/", "query_string": query, "http_version": version}
    with contextlib.suppress(InvalidInput, ValidationFailed, HeadTooLarge, TargetTooLong):
        _check_head(scope)
        lengths = [value for name, value in headers if name == b"content-length"]
        assert all(value.isdigit() for value in lengths)
        assert len(lengths) + sum(name == b"transfer-encoding" for name, _ in headers) <= 1
        unquote(path.decode("latin-1"), errors="strict")
