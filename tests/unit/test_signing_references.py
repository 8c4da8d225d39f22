"""Where a signing key is: each form is read, everything else is refused, and no refusal repeats what may be a secret."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from stella_pipelines.evidence.errors import KeyInvalid
from stella_pipelines.evidence.keys.signing import new_private_key, private_pem
from stella_pipelines.integrations.secrets import SecretMissing
from stella_pipelines.integrations.signing.errors import SigningReferenceInvalid
from stella_pipelines.integrations.signing.references import FileReference, KmsReference, VariableReference, VaultReference, parse_reference
from stella_pipelines.integrations.signing.selection import open_key

VAULT = "vault-transit:https://vault.example:8200/transit/evidence?version=2&token=env://VAULT_TOKEN"
ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_each_form_is_read() -> None:
    assert parse_reference("file:/keys/evidence.pem") == parse_reference("file:///keys/evidence.pem") == FileReference(path=Path("/keys/evidence.pem"))
    assert parse_reference("env:SIGNING_KEY") == VariableReference(name="SIGNING_KEY")
    vault = VaultReference(url="https://vault.example:8200", mount="transit", name="evidence", version=2, token="env://VAULT_TOKEN")
    assert parse_reference(VAULT) == vault
    deeper = parse_reference(VAULT.replace("/transit/", "/team/transit/") + "&ca=/ca.pem&namespace=team/a")
    assert deeper == vault.model_copy(update={"mount": "team/transit", "ca": Path("/ca.pem"), "namespace": "team/a"})
    assert parse_reference(f"aws-kms:{ARN}") == KmsReference(key=ARN, region="eu-central-1")
    assert parse_reference("aws-kms:alias/evidence?region=eu-west-1") == KmsReference(key="alias/evidence", region="eu-west-1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "file",
        "file:keys/evidence.pem",
        "file:/a\0b",
        "env:",
        "env:not a name",
        "/keys/evidence.pem",
        "pkcs11:token=x",
        VAULT.replace("https:", "http:"),
        VAULT.replace("version=2", "version=0"),
        VAULT.replace("version=2", "version=x"),
        VAULT.replace("version=2&", ""),
        VAULT.replace("&token=env://VAULT_TOKEN", ""),
        VAULT.replace("env://VAULT_TOKEN", "hvs.SECRET"),
        VAULT + "&version=3",
        VAULT + "&verify=false",
        VAULT + "&url=https://elsewhere",
        VAULT.replace("vault.example", "user:SECRET@vault.example"),
        VAULT.replace("/transit/evidence", ""),
        VAULT.replace("/transit/evidence", "/evidence"),
        VAULT.replace("evidence?", "../evidence%2F?"),
        VAULT + "&namespace=a b",
        "aws-kms:alias/evidence",
        "aws-kms:",
        "aws-kms:evidence?region=eu-west-1",
        f"aws-kms:{ARN}?region=",
        f"aws-kms:{ARN}?profile=prod",
        f"aws-kms:{ARN}?endpoint=http://kms.example",
        "vault-transit:https://vault.example:8200/transit/evidence?hvs.SECRET",
        VAULT + "&hvs.SECRET=",
        "vault-transit:https://hvs.\u2100SECRET/transit/evidence",
        "hvs.SECRET",
        "s.SECRET:x",
        "x" * 3_000,
        "vault-transit:https://[::1",
    ],
)
def test_everything_else_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(SigningReferenceInvalid) as caught:
        parse_reference(text)
    assert "SECRET" not in "".join(traceback.format_exception(caught.value)).replace(repr(text), "")
    assert len(caught.value.what) < 400


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p256"])
def test_a_key_may_be_in_a_variable(algorithm: str) -> None:
    pem = private_pem(new_private_key("ed25519" if algorithm == "ed25519" else "ecdsa-p256")).decode()
    assert open_key(parse_reference("env:SIGNING_KEY"), {"SIGNING_KEY": pem}).algorithm == algorithm
    with pytest.raises(KeyInvalid) as caught:
        open_key(parse_reference("env:SIGNING_KEY"), {"SIGNING_KEY": pem[:-40]})
    assert pem[30:60] not in str(caught.value)
    with pytest.raises(SecretMissing):
        open_key(parse_reference("env:SIGNING_KEY"), {})


def test_a_variable_that_holds_no_text_is_refused_as_no_key() -> None:
    with pytest.raises(KeyInvalid) as caught:
        open_key(parse_reference("env:SIGNING_KEY"), {"SIGNING_KEY": "SECRET\udcff"})
    assert "SECRET" not in "".join(traceback.format_exception(caught.value)).replace('"SECRET', "")


@pytest.mark.parametrize("token", ["hvs.SECRET with a blank", "hvs.SECRET\n\n", "hvs.SECRETé"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(SigningReferenceInvalid) as caught:
        open_key(parse_reference(VAULT), {"VAULT_TOKEN": token})
    assert token[:10] not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_named_file_is_not_made_by_itself(tmp_path: Path) -> None:
    with pytest.raises(KeyInvalid):
        open_key(parse_reference(f"file:{tmp_path}/keys/evidence.pem"), {})
    assert list(tmp_path.iterdir()) == []
