"""What a packet says: an in-toto Statement v1 about subjects that are digests, with a predicate of ours. Pure values, no signatures.

Every predicate carries `stella` (the version of its form), `inputs` (name and digest of everything that it depends on) and `seal`: the
packet's own id and its place in its stream's sequence, so that a packet taken out or moved shows to whoever holds the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints, ValidationError

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.errors import PredicateInvalid
from stella_pipelines.evidence.streams import environment_of

Kind = Literal["release", "decision", "summary", "deployment", "rollback", "override", "drift", "audit-export", "purge"]
"""`summary` tells a decision again, as the SLSA verification summary that other people's tools read."""
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATES: Final[Mapping[Kind, str]] = {
    "release": "https://in-toto.io/attestation/release/v0.1",
    "decision": "https://stella-pipelines.dev/predicates/decision/v1",
    "summary": "https://slsa.dev/verification_summary/v1",
    "deployment": "https://stella-pipelines.dev/predicates/deployment/v1",
    "rollback": "https://stella-pipelines.dev/predicates/rollback/v1",
    "override": "https://stella-pipelines.dev/predicates/override/v1",
    "drift": "https://stella-pipelines.dev/predicates/drift/v1",
    "audit-export": "https://stella-pipelines.dev/predicates/audit-export/v1",
    "purge": "https://stella-pipelines.dev/predicates/purge/v1",
}
FORM_VERSION: Final = 1
SEAL_KEY: Final = "seal"
DEPTH_MAX: Final = 100
"""Objects and lists within each other in a statement. A limit of our own, or the deepest packet would depend on the reader's stack."""
SHOWN_CHARS_MAX: Final = 512
ShownText = Annotated[str, StringConstraints(min_length=1, max_length=SHOWN_CHARS_MAX, pattern=r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$")]
"""Text that is shown to people: without control characters and invisible ones, which could make a terminal show something else."""


def _from_digest_set(value: object) -> object:
    """in-toto writes a digest as a set by algorithm: `{"sha256": "<hex>"}`."""
    return f"sha256:{value['sha256']}" if isinstance(value, Mapping) and set(value) == {"sha256"} else value


def _to_digest_set(digest: Digest) -> dict[str, str]:
    return {"sha256": digest.hex}


class Subject(Value):
    """One thing that the statement is about: a name for people, a digest as its identity."""

    name: ShownText
    digest: Annotated[Digest, BeforeValidator(_from_digest_set), PlainSerializer(_to_digest_set, when_used="json")]


class Seal(Value):
    """The packet's own place: its id, and its number in the dense sequence of its stream (`streams.py`)."""

    packet_id: ShownText
    stream: ShownText
    sequence: Annotated[int, Field(ge=1, strict=True)]
    sealed_at: Instant

    @property
    def environment(self) -> str | None:
        """The environment that the packet is about, if it is about one."""
        return environment_of(self.stream)


class Input(Value):
    """Something that the predicate depends on, by the digest of its bytes."""

    name: Annotated[str, StringConstraints(min_length=1)]
    digest: Digest


class _Form(Value):
    version: Annotated[int, Field(strict=True, ge=FORM_VERSION, le=FORM_VERSION)]  # not Literal[1], for which true is 1


class _Common(Value):
    """What every predicate must carry; the rest belongs to the room that wrote it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    stella: _Form
    inputs: tuple[Input, ...]


class Statement(Value):
    """An in-toto Statement v1. `document()` is its written form, with in-toto's own names."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    type: Literal["https://in-toto.io/Statement/v1"] = Field(STATEMENT_TYPE, alias="_type")
    subject: Annotated[tuple[Subject, ...], Field(min_length=1)]
    predicate_type: str = Field(alias="predicateType")
    predicate: dict[str, Any]

    def document(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)

    @property
    def kind(self) -> Kind | None:
        """The kind of packet, or None when this version does not know it."""
        return next((kind for kind in get_args(Kind) if PREDICATES[kind] == self.predicate_type), None)

    @property
    def seal(self) -> Seal:
        """The packet's own place in its stream's sequence."""
        return Seal.model_validate(self.predicate[SEAL_KEY])

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Everything that the predicate depends on."""
        return _Common.model_validate(self.predicate).inputs

    def claim(self) -> dict[str, Any]:
        """The predicate as its room wrote it, without the seal: what a replay rebuilds and compares."""
        return {name: value for name, value in self.predicate.items() if name != SEAL_KEY}


def is_too_deep(document: object) -> bool:
    """Whether a JSON value has more levels than a statement may have. Without recursion, because it judges hostile values."""
    level: list[object] = [document]
    for _ in range(DEPTH_MAX + 1):
        level = [inner for value in level if isinstance(value, Mapping | list | tuple) for inner in (value.values() if isinstance(value, Mapping) else value)]
        if not level:
            return False
    return True


def make_statement(kind: Kind, subjects: Sequence[Subject], predicate: Mapping[str, object], seal: Seal) -> Statement:
    """The statement of a packet. The form's version is added when the caller left it out; `PredicateInvalid` for what is missing otherwise."""
    if SEAL_KEY in predicate or not subjects:
        raise PredicateInvalid(f"A {kind} packet needs a subject, and a predicate without {SEAL_KEY!r}.", next_step="This is a mistake in the calling code.")
    if is_too_deep({"predicate": predicate}):
        raise PredicateInvalid(f"The predicate of a {kind} packet has too many levels.", next_step="This is a mistake in the calling code.")
    complete = {"stella": {"version": FORM_VERSION}, **predicate, SEAL_KEY: seal.document()}
    try:
        _Common.model_validate(complete)
    except ValidationError as error:
        named = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
        raise PredicateInvalid(f"The predicate of a {kind} packet is incomplete: {named}.", next_step="This is a mistake in the calling code.") from error
    return Statement(subject=tuple(subjects), predicate_type=PREDICATES[kind], predicate=complete)
