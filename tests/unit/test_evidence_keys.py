"""The signing key's file: created once, private, and refused when it is not."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, PublicFormat

from stella_pipelines.evidence.errors import KeyExposed, KeyInvalid, SignatureInvalid
from stella_pipelines.evidence.keys.files import FileKey, forget_waiting, new_key_beside, take_place
from stella_pipelines.evidence.keys.public import load_public_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "evidence.pem"


def key_id_from(path: Path) -> str:
    return FileKey.load_or_create(path).key_id


def test_a_new_key_is_private_and_loads_again(path: Path) -> None:
    created = FileKey.load_or_create(path)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert FileKey.load_or_create(path).public_pem == created.public_pem
    assert sorted(file.name for file in path.parent.iterdir()) == ["evidence.pem", "evidence.pub"]


def test_the_public_half_is_kept_beside_it(path: Path) -> None:
    key = FileKey.load_or_create(path)
    public = path.with_suffix(".pub")
    public.write_bytes(b"something else")
    FileKey.load_or_create(path)
    assert public.read_bytes() == key.public_pem


def test_the_key_id_is_what_openssl_says(path: Path) -> None:
    key = FileKey.load_or_create(path)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key.public_pem, capture_output=True, check=True).stdout
    assert key.key_id == hashlib.sha256(der).hexdigest()


def test_a_signature_verifies_with_the_public_key(path: Path) -> None:
    key = FileKey.load_or_create(path)
    public = load_public_key(key.public_pem)
    assert (public.key_id, public.algorithm) == (key.key_id, key.algorithm)
    public.verify(key.sign(b"content"), b"content")
    with pytest.raises(SignatureInvalid):
        public.verify(key.sign(b"content"), b"contend")


def test_a_p256_key_is_made_on_demand_and_stays_one(path: Path) -> None:
    key = FileKey.load_or_create(path, "ecdsa-p256")
    assert (key.algorithm, FileKey.load_or_create(path).key_id) == ("ecdsa-p256", key.key_id)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key.public_pem, capture_output=True, check=True).stdout
    assert key.key_id == hashlib.sha256(der).hexdigest()
    load_public_key(key.public_pem).verify(key.sign(b"content"), b"content")


def test_processes_that_create_together_get_one_key(path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        ids = pool.map(key_id_from, [path] * 6, chunksize=1)
        pool.close()
        pool.join()
    assert len(set(ids)) == 1
    assert sorted(file.name for file in path.parent.iterdir()) == ["evidence.pem", "evidence.pub"]


@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o640, 0o700), (0o604, 0o700), (0o660, 0o700), (0o600, 0o770), (0o600, 0o702)])
def test_a_key_that_others_can_reach_is_refused(path: Path, file_mode: int, folder_mode: int) -> None:
    FileKey.load_or_create(path)
    path.chmod(file_mode)
    path.parent.chmod(folder_mode)
    with pytest.raises(KeyExposed):
        FileKey.load_or_create(path)


@pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="giving a file to another account needs root: sudo make test")
def test_a_key_of_another_account_is_refused(path: Path) -> None:
    FileKey.load_or_create(path)
    os.chown(path, 12345, 12345)
    with pytest.raises(KeyExposed):
        FileKey.load_or_create(path)


def encodings() -> dict[str, bytes]:
    plain = (Encoding.PEM, PrivateFormat.PKCS8)
    return {
        "empty": b"",
        "text": b"not a key",
        "huge": b"-" * 100_000,
        "encrypted": Ed25519PrivateKey.generate().private_bytes(*plain, BestAvailableEncryption(b"x")),
        "RSA": rsa.generate_private_key(65537, 2048).private_bytes(*plain, NoEncryption()),
        "another curve": ec.generate_private_key(ec.SECP384R1()).private_bytes(*plain, NoEncryption()),
    }


@pytest.mark.parametrize("content", encodings().values(), ids=encodings().keys())
def test_anything_but_a_key_of_ours_is_refused_and_kept(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyInvalid):
        FileKey.load_or_create(path)
    assert path.read_bytes() == content


def test_a_link_or_a_folder_in_the_keys_place_is_refused(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "evidence.pem"
    FileKey.load_or_create(other)
    path.parent.mkdir(mode=0o700)
    path.symlink_to(other)
    with pytest.raises(KeyInvalid):
        FileKey.load_or_create(path)
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(KeyInvalid):
        FileKey.load_or_create(path)


def test_a_private_key_under_a_public_keys_name_is_not_made(tmp_path: Path) -> None:
    """Its public half would be written over it."""
    with pytest.raises(KeyInvalid):
        FileKey.load_or_create(tmp_path / "evidence.pub")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pem", [b"", b"x", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_anything_but_a_public_key_is_refused(pem: bytes) -> None:
    with pytest.raises(KeyInvalid):
        load_public_key(pem)


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256K1()), rsa.generate_private_key(65537, 2048)])
def test_a_public_key_of_another_kind_is_refused(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    with pytest.raises(KeyInvalid):
        load_public_key(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


class TestTakingThePlaceOfAKey:
    def test_the_old_key_is_kept_and_the_new_one_is_private(self, path: Path) -> None:
        old = FileKey.load_or_create(path)
        new = new_key_beside(path, "ecdsa-p256")
        assert FileKey.load(path).key_id == old.key_id
        take_place(path, new.key_id)
        retired = path.parent / "retired" / f"{old.key_id}.pem"
        assert (FileKey.load(path).key_id, FileKey.load(retired).key_id) == (new.key_id, old.key_id)
        assert [(file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) for file in (path, retired)] == [(0o600, 0o700)] * 2
        assert path.with_suffix(".pub").read_bytes() == new.public_pem

    def test_it_goes_on_after_a_crash_between_its_steps(self, path: Path) -> None:
        old = FileKey.load_or_create(path)
        new = new_key_beside(path, "ed25519")
        (path.parent / "retired").mkdir(mode=0o700)
        os.link(path, path.parent / "retired" / f"{old.key_id}.pem")
        take_place(path, new.key_id)
        take_place(path, new.key_id)
        assert FileKey.load(path).key_id == new.key_id

    @pytest.mark.parametrize("key_id", ["../../stolen", "", "f" * 63, "F" * 64, "next/" + "f" * 64])
    def test_what_is_no_key_id_moves_nothing(self, path: Path, tmp_path: Path, key_id: str) -> None:
        """The id of the key in force comes from the database."""
        old = FileKey.load_or_create(path)
        (path.parent / "next").mkdir(mode=0o700)
        stranger = FileKey.load_or_create(tmp_path / "stolen.pem")
        with pytest.raises(KeyInvalid):
            take_place(path, key_id)
        assert (FileKey.load(path).key_id, FileKey.load(tmp_path / "stolen.pem").key_id) == (old.key_id, stranger.key_id)

    def test_a_waiting_key_under_another_ones_id_stays_where_it_is(self, path: Path) -> None:
        old = FileKey.load_or_create(path)
        new = new_key_beside(path, "ed25519")
        (path.parent / "next" / f"{new.key_id}.pem").rename(path.parent / "next" / f"{'a' * 64}.pem")
        take_place(path, "a" * 64)
        assert FileKey.load(path).key_id == old.key_id

    def test_a_key_that_never_came_into_force_is_removed(self, path: Path) -> None:
        old = FileKey.load_or_create(path)
        new = new_key_beside(path, "ed25519")
        forget_waiting(path, new.key_id)
        take_place(path, new.key_id)
        assert (FileKey.load(path).key_id, list((path.parent / "next").iterdir())) == (old.key_id, [])
