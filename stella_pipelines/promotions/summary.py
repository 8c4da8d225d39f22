"""A decision again as a SLSA Verification Summary Attestation, which other people's tools read. Pure; `deciding.py` seals both together.

It says less than the decision, and nothing that does not follow from it: the same decision packet gives the same summary. The URIs identify
and are not addresses. `resourceUri` names the environment, or a summary for `dev` could be shown before `prod`.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from stella_pipelines.core.clock import Instant, format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.promotions.decision import DecisionRecord

VERIFIER: Final = "https://stella-pipelines.dev/verifiers/gates"
"""What judged. Which installation it was says the key: whoever reads a summary accepts this verifier from keys that he knows."""
_ENVIRONMENTS: Final = "https://stella-pipelines.dev/environments/"
_PACKETS: Final = "https://stella-pipelines.dev/packets/"
FAILED: Final = "FAILED"
PASSED: Final = "PASSED"


def summary_predicate(record: DecisionRecord, *, policy: Digest, packet_id: str, packet_digest: Digest, decided_at: Instant) -> dict[str, Any]:
    """The summary of a sealed decision. `policy` is the digest of the gates as they were declared (`gates_in_force.py`).

    No SLSA level was verified, so a summary that passed names none; one that failed says so where SLSA wants it.
    """
    allowed = record.outcome == "allow"
    resource = resource_uri(record.environment)
    return {
        "verifier": {"id": VERIFIER, "version": {"rules": record.rules}},
        "timeVerified": format_instant(decided_at),
        "resourceUri": resource,
        "policy": {"uri": f"{resource}/gates", "digest": {"sha256": policy.hex}},
        "inputAttestations": [{"uri": f"{_PACKETS}{packet_id}", "digest": {"sha256": packet_digest.hex}}],
        "verificationResult": PASSED if allowed else FAILED,
        "verifiedLevels": [] if allowed else [FAILED],
        "inputs": [{"name": "decision", "digest": packet_digest}, {"name": "gates", "digest": policy}],
    }


def resource_uri(environment: str) -> str:
    """For what the subjects were verified: to be put into this environment."""
    return f"{_ENVIRONMENTS}{quote(environment, safe='')}"
