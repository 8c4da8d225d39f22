"""Signed notes and their keys, with the vectors of Go's sumdb/note, C2SP and transparency-dev."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stella_pipelines.evidence.errors import CheckpointInvalid, KeyInvalid, SignatureInvalid
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.keys.signatures import Algorithm
from stella_pipelines.evidence.log.note_keys import SignatureType, log_key, read_vkey, sign_as_log, witness_key, witness_message
from stella_pipelines.evidence.log.notes import NOTE_BYTES_MAX, NoteSignature, read_note, read_signature_lines, write_note
from tests.support.published_checkpoints import GO_SUM_KEY, LOG_SIGNER, PIXEL_KEY, REKOR_KEY, SPECIFICATION, WITNESS_KEYS, WITNESSED_KEY, ed25519_key

# golang.org/x/mod/sumdb/note
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SECRET = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
ENOCH_LINE = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
NOTE = f"{TEXT}\n{PETER_LINE}{ENOCH_LINE}"
# c2sp.org/signed-note
FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
VKEYS = [PETER, ENOCH, FOO, GO_SUM_KEY, REKOR_KEY, PIXEL_KEY, WITNESSED_KEY, *WITNESS_KEYS]


def refused(content: str | bytes) -> None:
    with pytest.raises(CheckpointInvalid) as caught:
        read_note(content.encode() if isinstance(content, str) else content)
    assert caught.value.code == "EVID_CHECKPOINT_INVALID"


@pytest.mark.parametrize("vkey", VKEYS)
def test_published_verifier_keys_are_read_and_written_again(vkey: str) -> None:
    key = read_vkey(vkey)
    assert key.vkey() == vkey
    assert vkey.startswith(f"{key.name}+{key.key_hash.hex()}+")


@pytest.mark.parametrize("vkey", VKEYS)
def test_a_key_in_pem_form_becomes_its_published_text(vkey: str) -> None:
    key = read_vkey(vkey)
    made = witness_key(key.name, key.public.pem) if key.type is SignatureType.WITNESS_ED25519 else log_key(key.name, key.public.pem)
    assert made.vkey() == vkey


@pytest.mark.parametrize(("vkey", "content", "place"), [(PETER, NOTE, 0), (ENOCH, NOTE, 1), (FOO, FOO_NOTE, 0)])
def test_published_notes_verify(vkey: str, content: str, place: int) -> None:
    key, note = read_vkey(vkey), read_note(content.encode())
    signature = note.signatures[place]
    assert signature.by == key.by
    assert key.public.verify(signature.signature, note.text.encode()) is None
    with pytest.raises(SignatureInvalid):
        key.public.verify(signature.signature, note.text.encode()[:-1])


def test_a_note_is_signed_as_go_signs_it() -> None:
    secret = FileKey(Ed25519PrivateKey.from_private_bytes(base64.b64decode(PETER_SECRET)[1:]))
    assert write_note(TEXT, [sign_as_log("PeterNeumann", secret, TEXT)]).decode() == f"{TEXT}\n{PETER_LINE}"


def test_the_specifications_example_has_its_form() -> None:
    note = read_note(SPECIFICATION.encode())
    assert note.text.count("\n") == 3
    assert [signature.name for signature in note.signatures] == ["example.com/behind-the-sofa", "witness.example.com/w1"]
    assert int.from_bytes(note.signatures[1].signature[:8]) == 1679315147
    assert witness_message(note.text, 1679315147).decode() == f"cosignature/v1\ntime 1679315147\n{note.text}"
    assert write_note(note.text, note.signatures) == SPECIFICATION.encode()


def test_the_last_empty_line_ends_the_text() -> None:
    note = read_note(f"one\n\ntwo\n\n\n{PETER_LINE}".encode())
    assert note.text == "one\n\ntwo\n\n"


def test_every_part_of_a_verifier_key_and_every_changed_character_is_refused() -> None:
    for vkey in (PETER, WITNESS_KEYS[0]):  # not an ECDSA key: its hash says nothing about the name
        parts = [part for place in range(1, len(vkey)) for part in (vkey[:place], vkey[place:])]
        changed = [vkey[:place] + chr(ord(vkey[place]) + 1) + vkey[place + 1 :] for place in range(len(vkey))]
        for wrong in [*parts, *changed, vkey + "\n", " " + vkey, vkey.replace("+", " ", 1), vkey + "=", "x" * 100_000]:
            with pytest.raises(KeyInvalid):
                read_vkey(wrong)


def test_of_an_ecdsa_keys_text_everything_but_the_name_is_bound_by_the_hash() -> None:
    start = REKOR_KEY.index("+")
    for place in range(start, len(REKOR_KEY)):
        for wrong in (REKOR_KEY[:place], REKOR_KEY[:place] + chr(ord(REKOR_KEY[place]) + 1) + REKOR_KEY[place + 1 :]):
            with pytest.raises(KeyInvalid):
                read_vkey(wrong)
    assert read_vkey("another.example" + REKOR_KEY[start:]).by != read_vkey(REKOR_KEY).by


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "\ud800" + PETER,
        "+",
        "++",
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",  # another length, with the hash that fits
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",  # an unknown type, with the hash that fits
        PETER.replace("c74f20a3", "C74F20A3"),
        "bananas.sigstore.dev+12344556",
        "rekor.sigstore.dev+12345678+THIS_IS_NOT_BASE64!",
        "rekor.sigstore.dev+12345678+AwEB",
        REKOR_KEY.replace("c0d23d6a", "00000000"),
        REKOR_KEY.replace("c0d23d6a", "NOT_A_NUMBER"),
        "Peter\u00a0Neumann" + PETER.removeprefix("PeterNeumann"),
        PETER.replace("c74f20a3", "c7 4f 20 a3"),
    ],
)
def test_a_malformed_verifier_key_is_refused(wrong: str) -> None:
    with pytest.raises(KeyInvalid) as caught:
        read_vkey(wrong)
    assert caught.value.code == "EVID_KEY_INVALID"


def test_a_p384_key_is_refused() -> None:
    der = generate_private_key(SECP384R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(KeyInvalid):
        read_vkey(f"name+00000000+{base64.b64encode(bytes([2]) + der).decode()}")


def test_a_witness_cannot_have_an_ecdsa_key() -> None:
    with pytest.raises(KeyInvalid, match="Ed25519"):
        witness_key("witness.example", read_vkey(REKOR_KEY).public.pem)


@pytest.mark.parametrize("name", ["", " ", "a b", "a+b", "a\u00a0b", "a\u2003b", "a\u2028b", "a\nb", "a\tb", "a\x85b", "a\0b", "a\ud800"])
def test_a_name_with_space_or_plus_is_refused(name: str) -> None:
    with pytest.raises(KeyInvalid):
        log_key(name, LOG_SIGNER.public_pem)
    with pytest.raises(CheckpointInvalid):
        write_note(TEXT, [NoteSignature(name, b"\0" * 4, b"\0" * 64)])


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\n",
        b"\n\n",
        TEXT,
        f"{TEXT}\n",
        f"{TEXT}{PETER_LINE}",
        f"\n{PETER_LINE}",
        f"\n\n{PETER_LINE}",
        f"{TEXT}\n{PETER_LINE[:-1]}",
        f"{TEXT}\n{PETER_LINE}\n",
        f"{TEXT}\n{PETER_LINE}Unexpected line.\n",
        f"{TEXT}\n\u2014 Bad Name{PETER_LINE.removeprefix('— PeterNeumann')}",
        f"{TEXT}\n{PETER_LINE.replace('—', '-')}",
        f"{TEXT}\n{PETER_LINE.replace('— ', '—')}",
        f"{TEXT}\n{PETER_LINE.replace('— ', '—  ')}",
        f"{TEXT}\n{PETER_LINE.replace('=', '')}",
        f"{TEXT}\n{PETER_LINE.replace('=', '==')}",
        f"{TEXT}\n{PETER_LINE.replace('M=', 'N=')}",  # bits that the decoder drops
        f"{TEXT}\n{PETER_LINE.replace('/ZJ', '_ZJ')}",
        f"{TEXT}\n— PeterNeumann x08gow==\n",  # a hash and no signature
        f"{TEXT}\n— PeterNeumann \n",
        f"{TEXT}\n— PeterNeumann é=\n",
        f"\x01{TEXT}\n{PETER_LINE}",
        f"{TEXT}\n{PETER_LINE}".replace("\n", "\r\n"),
        b"\xff" + f"{TEXT}\n{PETER_LINE}".encode(),
        f"{TEXT}\n{PETER_LINE}".encode("utf-16"),
        f"{TEXT}\n{PETER_LINE * 65}",
        b"a" * (NOTE_BYTES_MAX + 1),
        b"\n" * NOTE_BYTES_MAX,
        "a\n" * 20_000 + f"\n{PETER_LINE * 500}",
    ],
    ids=range(30),
)
def test_what_is_no_note_is_refused(wrong: str | bytes) -> None:
    refused(wrong)


def test_a_note_with_as_many_signatures_and_bytes_as_may_be_is_read() -> None:
    lines = PETER_LINE * 64
    text = "a" * (NOTE_BYTES_MAX - len(lines.encode()) - 2) + "\n"
    content = f"{text}\n{lines}".encode()
    assert len(content) == NOTE_BYTES_MAX
    assert len(read_note(content).signatures) == 64


@pytest.mark.parametrize("text", ["", "no end", "\x01\n", "\ud800\n"])
def test_only_what_can_be_read_is_written(text: str) -> None:
    with pytest.raises(CheckpointInvalid):
        write_note(text, read_signature_lines(PETER_LINE))


class LyingKey:
    """A key service that answers with another key's signature."""

    algorithm: Algorithm = "ed25519"
    key_id, public_pem = LOG_SIGNER.key_id, LOG_SIGNER.public_pem
    sign = staticmethod(ed25519_key(99).sign)


def test_a_signature_that_does_not_verify_is_never_given_away() -> None:
    with pytest.raises(KeyInvalid, match="its own public key refuses"):
        sign_as_log("log.example", LyingKey(), TEXT)
