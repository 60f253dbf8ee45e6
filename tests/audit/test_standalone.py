"""The verifier that clients get: its signatures, its one file, and that it says what ours says."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hsagency.audit.pack.verifier import one_file
from hsagency.audit.standalone.ed25519 import ORDER, P, decode, verifies
from hsagency.audit.standalone.evidence import in_folder
from hsagency.audit.standalone.heads import read_keys, read_register, statement
from hsagency.audit.standalone.segments import follow, genesis
from hsagency.audit.standalone.verdict import judge
from hsagency.audit.verifying import verify
from tests.audit.logs import SLUG, three_days
from tests.audit.vectors import vectors

# RFC 8032, 7.1: secret key, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032)
def test_the_vectors_of_rfc_8032_hold(
    secret: str, public: str, message: str, signature: str
) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    assert private.public_key().public_bytes_raw().hex() == public
    assert private.sign(bytes.fromhex(message)).hex() == signature
    key, said, mark = (bytes.fromhex(one) for one in (public, message, signature))
    assert verifies(key, mark, said)
    assert not verifies(key, mark, said + b"\0")


def theirs(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@settings(deadline=None)
@given(secret=st.binary(min_size=32, max_size=32), message=st.binary(max_size=100), data=st.data())
def test_signatures_are_judged_as_the_library_does(
    secret: bytes, message: bytes, data: st.DataObject
) -> None:
    private = Ed25519PrivateKey.from_private_bytes(secret)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert verifies(public, signature, message)
    parts = [public, signature, message + b"."]
    which = data.draw(st.integers(0, 2))
    at = data.draw(st.integers(0, len(parts[which]) * 8 - 1))
    flipped = bytearray(parts[which])
    flipped[at // 8] ^= 1 << at % 8
    parts[which] = bytes(flipped)
    assert verifies(*parts) is theirs(*parts) is False  # type: ignore[arg-type]


@given(
    public=st.binary(max_size=33), signature=st.binary(max_size=65), message=st.binary(max_size=3)
)
def test_no_bytes_make_a_signature_or_a_crash(
    public: bytes, signature: bytes, message: bytes
) -> None:
    assert not verifies(public, signature, message)


def test_another_spelling_of_a_signature_or_a_key_is_none() -> None:
    private = Ed25519PrivateKey.from_private_bytes(b"3" * 32)
    public, signature = private.public_key().public_bytes_raw(), private.sign(b"x")
    added = int.from_bytes(signature[32:], "little") + ORDER
    malleable = signature[:32] + added.to_bytes(32, "little")
    assert not verifies(public, malleable, b"x")
    assert not theirs(public, malleable, b"x")
    beyond = (P + 1).to_bytes(32, "little")  # the neutral point, spelled as no encoder would
    assert decode((1).to_bytes(32, "little")) is not None
    assert decode(beyond) is None
    assert decode(bytes([1] + [0] * 30 + [0x80])) is None  # minus zero


# --- the specification ---


def shipped(name: str) -> str:
    return files("hsagency.audit.standalone").joinpath(name).read_text("utf-8")


def test_the_shipped_vectors_are_what_the_writer_makes() -> None:
    assert json.loads(shipped("test-vectors.json")) == vectors()


def test_the_verifier_holds_the_shipped_vectors() -> None:
    said = json.loads(shipped("test-vectors.json"))
    records = said["segment"]["records"]
    lines = [one["line"].encode().removesuffix(b"\n") for one in records]
    assert genesis(said["segment"]["file"].removesuffix(".jsonl")) == said["segment"]["hash0"]
    assert follow(said["segment"]["hash0"].encode(), lines) == (3, records[-1]["hash"].encode())
    key = {**said["key"], "algorithm": "Ed25519"}
    keys = read_keys(json.dumps([key]).encode())
    assert list(keys) == [key["key"]]
    signed = []
    for one in [*said["register"]["lines"], said["checkpoint"]]:
        line = one["line"].encode().removesuffix(b"\n")
        _, head = statement(line, "", said["register"]["clientSlug"], keys, verifies)
        assert (head.records, head.hash) == (3, records[-1]["hash"])
        signed.append(head.signed)
    assert signed == [True, False, False, True, True]
    register = "".join(one["line"] for one in said["register"]["lines"]).encode()
    heads, wrong = read_register(register, said["register"]["clientSlug"], keys, verifies)
    assert ([head.kind for head in heads], wrong) == (["idle", "idle", "closed", "retired"], [])


def test_the_specification_names_every_word_of_the_vectors_and_no_client() -> None:
    text = shipped("SPECIFICATION.md")
    for word in ("hsagency segment", "hsagency register", "keys.json", '"key":null', "RFC 8032"):
        assert word in text
    for verdict in ("altered", "missing", "truncated", "gap", "intact"):
        assert f"**{verdict}**" in text
        assert verdict in shipped("README.txt")
    assert "acme" not in text + shipped("README.txt") + shipped("test-vectors.json")


# --- one file ---


def test_the_one_file_needs_the_standard_library_alone_and_python_3_8() -> None:
    source = one_file()
    tree = ast.parse(source, feature_version=(3, 8))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported <= sys.stdlib_module_names
    assert "hsagency" not in re.sub(r'b"hsagency (segment|register)', "", source)
    # What came after 3.8, and would only show when it is run there.
    for late in (
        r"\.remove(pre|suf)fix\(",
        r"\bfile_digest\b",
        r"\bdatetime\.UTC\b",
        r"\bmatch \w",
    ):
        assert re.search(late, source) is None
    defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert len(defined) == len(set(defined))  # no part overwrites a name of another


def test_the_one_file_reads_from_the_top() -> None:
    source = one_file()
    assert source.startswith("#!/usr/bin/env python3\n")
    tree = ast.parse(source)
    assert "python3 -I verify.py" in (ast.get_docstring(tree) or "")
    assert "What nobody can see" in (ast.get_docstring(tree) or "")
    assert "__future__" not in source  # which would be a module, imported before all else


def run(folder: Path, *args: str) -> tuple[int, dict[str, Any]]:
    """Run the one file as a client does: isolated from everything of ours."""
    command = [sys.executable, "-I", "-S", str(folder / "verify.py"), *args, "--json"]
    done = subprocess.run(command, capture_output=True, check=False, cwd=folder)
    assert done.stdout, done.stderr.decode()
    said: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, said


def test_the_plain_verifier_says_what_ours_says(tmp_path: Path) -> None:
    desk = three_days(tmp_path)
    keys = read_keys((desk.audit / "keys.json").read_bytes())
    plain = judge(in_folder(desk.audit / SLUG), SLUG, keys)
    assert plain.report() == verify(desk.log()).report()
    register = desk.audit / SLUG / "heads.jsonl"
    register.write_bytes(
        register.read_bytes().replace(b'"idle"', b'"idle"').replace(b"-04T", b"-05T")
    )
    (desk.audit / SLUG / "journal" / "000-000002.jsonl").unlink()
    plain = judge(in_folder(desk.audit / SLUG), SLUG, keys)
    assert plain.integrity == verify(desk.log()).integrity != "intact"
