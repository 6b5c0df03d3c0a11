"""`portal keys split`, `combine` and `drill`: a master key among several people, and a portal that lost it."""

import builtins
import stat
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from portal.core.secrets import Secret
from portal.crypto import shares

from .conftest import Shell

CONTENT = b"sealed under a master key that will be lost" * 40
MASTER = sha256(b"MASTER_KEY").hexdigest()  # the fixture's
OTHER = sha256(b"another master key").hexdigest()


def key_id(portal: Shell) -> str:
    return str(portal("keys", "status", "--json").json["master_keys"][0]["key_id"])


def split(portal: Shell, *options: str) -> list[str]:
    """The files of new shares."""
    done = portal("keys", "split", "--to", "shares", "--json", *options)
    assert done.code == 0, done.err
    return list(done.json["files"])


def lose_the_master_key(portal: Shell) -> None:
    kept = [line for line in (portal.folder / ".env").read_text().splitlines() if "MASTER_KEY" not in line]
    (portal.folder / ".env").write_text("\n".join(kept) + "\n")


def words_in(path: str) -> str:
    return Path(path).read_text().splitlines()[1]


def test_a_key_that_was_lost_comes_back_from_some_of_its_shares(portal: Shell) -> None:
    portal.hand_in(CONTENT)
    kid, files = key_id(portal), split(portal)
    lose_the_master_key(portal)
    assert portal("keys", "status").code == 78
    done = portal("keys", "drill", *files[1:4], "--json")
    assert (done.code, done.json) == (0, {"key_id": kid, "files": 1, "failed": []})
    done = portal("keys", "combine", *files[::2], "--to", "master-key")
    assert done.out == f"wrote the master key {kid} to master-key\n1 data key(s) here need it\n"
    assert (portal.folder / "master-key").read_text() == f"{MASTER}\n"
    assert stat.S_IMODE((portal.folder / "master-key").stat().st_mode) == 0o600
    with (portal.folder / ".env").open("a") as env:
        env.write(f"PORTAL_KEY_URLS=file:{portal.folder}/master-key\n")
    assert portal("fsck", "--full", "--json").json["problems"] == []


def test_shares_in_files_are_their_owners_and_say_what_they_are(portal: Shell) -> None:
    kid, files = key_id(portal), split(portal, "--shares", "4", "--threshold", "2")
    assert [Path(file).name for file in files] == [f"share-{n}.txt" for n in range(1, 5)]
    assert stat.S_IMODE((portal.folder / "shares").stat().st_mode) == 0o700
    for number, file in enumerate(files, 1):
        note, words = Path(file).read_text().splitlines()
        assert note == f"# share {number} of 4 of the master key {kid}; 2 make it"
        assert len(words.split()) == 33
        assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
    (event,) = portal.record("key.split")
    assert (event["subject"], event["details"]) == (kid, {"shares": 4, "threshold": 2})


def test_shares_are_shown_where_no_folder_is_named(portal: Shell) -> None:
    out = portal("keys", "split", "--shares", "3", "--threshold", "2").out
    texts = [line for line in out.splitlines() if line and not line.startswith("#")]
    assert shares.combine([shares.KeyShare.parse(text) for text in texts]) == Secret(bytes.fromhex(MASTER))


def test_neither_words_nor_keys_are_in_answers_for_programs_or_on_record(portal: Shell) -> None:
    files = split(portal, "--shares", "2", "--threshold", "2")
    told = [portal("keys", "drill", *files, "--json"), portal("keys", "combine", *files, "--to", "key", "--json")]
    secrets = [MASTER, *(words_in(file) for file in files)]
    bodies = "".join(body for (body,) in portal.query("SELECT body FROM audit"))
    for secret in secrets:
        assert secret not in bodies
        assert not any(secret in ran.out + ran.err for ran in told)
    for refused in (["split", "--json"], ["combine", *files, "--to", "-", "--json"]):
        ran = portal("keys", *refused)
        assert (ran.code, ran.out) == (2, "")
    assert portal("keys", "combine", *files, "--to", "-").out == f"{MASTER}\n"


def test_which_key_is_asked_where_there_are_several(portal: Shell) -> None:
    with (portal.folder / ".env").open("a") as env:
        env.write(f"PORTAL_NEW_KEY={OTHER}\nPORTAL_KEY_URLS=env:PORTAL_NEW_KEY,env:PORTAL_MASTER_KEY\n")
    new, old = (key["key_id"] for key in portal("keys", "status", "--json").json["master_keys"])
    assert portal("keys", "split", "--to", "a", "--json", stdin=f"{old}\n").out.endswith("}\n")
    assert portal("keys", "split", new, "--to", "b", "--json").json["key_id"] == new
    assert [event["subject"] for event in portal.record("key.split")] == [old, new]
    ran = portal("keys", "split", "unknown", "--to", "c")
    assert (ran.code, ran.err) == (3, "portal: there is no master key unknown\n")
    assert not (portal.folder / "c").exists()


def test_a_key_in_a_service_is_not_split(portal: Shell) -> None:
    with (portal.folder / ".env").open("a") as env:
        env.write("PORTAL_KEY_URLS=memory:\n")
    ran = portal("keys", "split")
    assert ran.code == 3
    assert ran.err.startswith("portal: only a master key of env: or file: can be split")
    assert portal.record("key.split") == []


def test_nothing_is_written_over(portal: Shell) -> None:
    files = split(portal)
    (portal.folder / "key").write_text("old")
    before = [Path(file).read_text() for file in files]
    assert portal("keys", "split", "--to", "shares").code == 2
    assert portal("keys", "combine", *files, "--to", "key").code == 2
    Path(portal.folder / "link").symlink_to(portal.folder / "elsewhere")
    assert portal("keys", "combine", *files, "--to", "link").code == 3
    assert [Path(file).read_text() for file in files] == before
    assert (portal.folder / "key").read_text() == "old"
    assert not (portal.folder / "elsewhere").exists()


def test_shares_that_do_not_fit_are_one_line_each(portal: Shell) -> None:
    portal.hand_in(CONTENT)
    files = split(portal)
    Path("torn.txt").write_text("# a note\n" + " ".join(words_in(files[0]).split()[:30]) + "\n")
    Path("other.txt").write_text(shares.split(Secret(bytes.fromhex(OTHER)), 5, 3)[0])
    Path("binary.txt").write_bytes(bytes(range(256)) * 100)
    refused = {
        "portal: 3 shares are needed, 2 are there\n": files[:2],
        "portal: a share is there twice\n": [files[0], files[1], files[1]],
        "portal: the shares are of different splits: take those of one\n": [*files[:2], "other.txt"],
        "portal: torn.txt: a share has 33 words, this one has 30\n": [*files[:2], "torn.txt"],
        "portal: binary.txt: word 1 of a share is none of the words that shares are made of\n": ["binary.txt"],
    }
    for told, given in refused.items():
        for command in (["drill"], ["combine", "--to", "key"]):
            ran = portal("keys", *command, *given)
            assert (ran.code, ran.err) == (3, told)
    assert not (portal.folder / "key").exists()


def test_shares_of_another_key_are_told_by_its_id(portal: Shell) -> None:
    portal.hand_in(CONTENT)
    other = shares.split(Secret(bytes.fromhex(OTHER)), 2, 2)
    for number, text in enumerate(other):
        Path(f"other-{number}").write_text(text)
    ran = portal("keys", "drill", "other-0", "other-1")
    assert (ran.code, ran.err.split(", ")[0]) == (
        3,
        "portal: no data key of this portal is under the master key of these shares",
    )
    ran = portal("keys", "combine", "other-0", "other-1", "--to", "key")
    assert (ran.code, "but the data keys here are under" in ran.err) == (3, True)
    assert not (portal.folder / "key").exists()


def test_without_a_database_a_key_is_combined_and_that_is_told(empty: Shell) -> None:
    for number, text in enumerate(shares.split(Secret(bytes.fromhex(MASTER)), 2, 2)):
        Path(f"share-{number}").write_text(text)
    ran = empty("keys", "combine", "share-0", "share-1", "--to", "key")
    assert ran.code == 0, ran.err
    assert "not compared with a database: there is no database" in ran.out
    assert not (empty.folder / "var").exists()


def test_shares_are_read_from_a_pipe_until_there_are_enough(portal: Shell) -> None:
    portal.hand_in(CONTENT)
    words = [words_in(file) for file in split(portal)]
    ran = portal("keys", "drill", stdin="\n".join([*words[:3], "no more is read"]))
    assert ran.code == 0, ran.err
    assert ran.out.endswith(" opened 1 of 1 file(s)\n")
    ran = portal("keys", "drill", stdin=f"{words[0]}\n")
    assert (ran.code, ran.err) == (3, "portal: a share has 33 words, this one has 0\n")


def test_a_drill_names_the_files_that_do_not_open(portal: Shell) -> None:
    sound, broken = portal.hand_in(CONTENT), portal.hand_in(CONTENT)
    files = split(portal)
    portal.blob(broken.id).write_bytes(b"other bytes")
    ran = portal("keys", "drill", *files, "--json")
    assert (ran.code, ran.json["files"], ran.json["failed"]) == (1, 2, [str(broken.id)])
    ran = portal("keys", "drill", *files)
    assert f"damaged: {broken.id}" in ran.out
    assert str(sound.id) not in ran.out
    ran = portal("keys", "drill", *files, "--sample", "1", "--json")
    assert ran.json["files"] == 1
    assert [event["details"]["files"] for event in portal.record("key.drilled")] == [2, 2, 1]


def test_a_missing_extra_is_one_line(portal: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("portal.crypto") and "shares" in (rest[2] or ()):
            raise ModuleNotFoundError(name="shamir_mnemonic")
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    ran = portal("keys", "drill")
    assert (ran.code, ran.err) == (78, "portal: this command needs shamir_mnemonic: install portal[shares]\n")
