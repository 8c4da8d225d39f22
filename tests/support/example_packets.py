"""Freshly sealed packets of every kind, on simulated targets: what the pages about evidence show is compared with them.

`python -m tests.support.example_packets` writes the examples of `docs/evidence-format.md` and `docs/evidence/*.md` anew.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.model import AllAtOnce, Gate, Policy, PolicyGateConfig, SecurityGateConfig
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.statement import Kind, Subject
from stella_pipelines.evidence.streams import EXPORTS
from stella_pipelines.evidence.verify import VerifiedPacket, verify_packet
from stella_pipelines.store.database import Store
from tests.simulation.installation import Installation, image, make_estate
from tests.simulation.timeline import SimulatedClock, simulate
from tests.simulation.world import World
from tests.support.evidence import signing_key

DOCS: Final = Path(__file__).parents[2] / "docs"
REQUESTER: Final = Actor(name="alice", via="cli")
BOB: Final = Actor(name="bob", via="cli")
CAROL: Final = Actor(name="carol", via="cli")
FOREIGN: Final = Digest.of(b"an image that somebody ran by hand")
_LOG: Final = {"origin": "stella-pipelines.dev/log/example", "size": 1204, "root": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}
_GATES: Final = (
    Gate(name="ours", config=PolicyGateConfig(policy="only_the_shop")),
    Gate(name="vulnerabilities", config=SecurityGateConfig(overridable_by=(BOB.name, CAROL.name))),
)


def example_packets(store: Store) -> Mapping[Kind, SealedPacket]:
    """A release that arrives, is replaced by somebody and repaired, one that goes back, and one that the security gate denies until it is overruled."""
    clock = SimulatedClock()
    installation = Installation(store, clock, World(clock))
    estate = make_estate(2, AllAtOnce())
    installation.apply(estate)
    installation.deploy(installation.release("1.0.0"))
    found = {"release": _newest(installation, "release"), "deployment": _newest(installation, "deployment")}
    found["drift"] = _drift(installation)
    installation.world.unhealthy.add(image("web", "1.0.1").digest)
    installation.deploy(installation.release("1.0.1"))
    found["rollback"] = _newest(installation, "rollback")
    gated = estate.environments[0].model_copy(update={"gates": _GATES})
    installation.apply(estate.model_copy(update={"environments": (gated,), "policies": (Policy(name="only_the_shop", cel="release.name == 'shop'"),)}))
    denied = installation.release("1.1.0")
    promotion = installation.promotions.request(REQUESTER, environment="prod", release_digest=denied, reason="weekly release")
    installation.evaluate(promotion.id)
    found |= {"decision": _newest(installation, "decision"), "summary": _newest(installation, "summary")}
    asked = installation.promotions.overriding.ask(BOB, promotion.id, "vulnerabilities", "the scanner is down, and the old release has the worse flaw")
    installation.clock.monotonic_s += 240
    installation.promotions.overriding.confirm(CAROL, asked.id)
    return {**found, "override": _newest(installation, "override"), **_taken_out(installation)}


def _drift(installation: Installation) -> SealedPacket:
    """Somebody runs another image on a host, past us, and puts it right again."""
    (instance,) = installation.world.target("host-2").instances.values()
    ours, theirs = instance.spec, instance.spec.model_copy(update={"platform_digest": FOREIGN})
    for runs in (theirs, ours):
        instance.spec = runs
        installation.clock.monotonic_s += 60
        simulate(installation.clock, installation.deployments.observe("prod"))
    with installation.database.reading() as tx:
        return installation.evidence.list(tx, kind="drift")[-1]


def _taken_out(installation: Installation) -> dict[str, SealedPacket]:
    """An export and a purge, told as their schemas want it."""
    now = installation.clock.now()
    times = {"exported_at": "2026-10-01T08:00:00.000000Z"}
    exported = {
        "export": {
            "question": {"environment": "prod", "subject": None, "since": "2026-07-01T00:00:00.000000Z", "until": "2026-10-01T00:00:00.000000Z"},
            "packets": 182,
            "audit_entries": 640,
            "log": _LOG,
        },
        "exported_by": REQUESTER.document(),
        "reason": "third quarter",
        "times": times,
        "inputs": [{"name": name, "digest": Digest.of(name.encode())} for name in ("index", "checkpoint")],
    }
    purged = {
        "purge": {
            "retention_days": 2555,
            "plan": Digest.of(b"plan"),
            "packets": 96,
            "audit_entries": 0,
            "blobs": 301,
            "bytes": 4_096_000,
            "held": 2,
            "log": _LOG,
        },
        "purged_by": REQUESTER.document(),
        "reason": "past retention",
        "times": {"purged_at": "2033-02-01T08:00:00.000000Z", "sealed_before": "2026-02-03T08:00:00.000000Z"},
        "inputs": [{"name": name, "digest": Digest.of(name.encode())} for name in ("purged", "checkpoint")],
    }
    found: dict[str, SealedPacket] = {}
    told: tuple[tuple[Kind, str, dict[str, Any]], ...] = (("audit-export", "index", exported), ("purge", "purged", purged))
    with installation.database.writing() as tx:
        for kind, name, predicate in told:
            subjects = [Subject(name=name, digest=Digest.of(name.encode()))]
            found[kind] = installation.evidence.seal(tx, packet_id=f"evd_{kind}", kind=kind, stream=EXPORTS, subjects=subjects, predicate=predicate, at=now)
    return found


def opened(packet: SealedPacket) -> VerifiedPacket:
    """The packet, verified with the tests' key."""
    return verify_packet(packet.envelope, [signing_key().public_pem])


def written(packet: SealedPacket) -> str:
    """The statement for reading, its members in the order of the bytes."""
    return json.dumps(json.loads(opened(packet).statement.canonical()), indent=2, ensure_ascii=False)


def _newest(installation: Installation, kind: Kind) -> SealedPacket:
    with installation.database.reading() as tx:
        return installation.evidence.list(tx, kind=kind, limit=1)[0]


def _write(page: Path, *fences: str) -> None:
    """Put these texts into the fenced blocks after the page's heading `Example`, in their order."""
    before, heading, example = page.read_text().partition("\n## Example\n")
    assert heading, f"{page} has no example"
    blocks = iter(fences)
    replaced = re.sub(r"^(```\w*\n).*?(\n```)$", lambda found: f"{found[1]}{next(blocks)}{found[2]}", example, flags=re.MULTILINE | re.DOTALL)
    page.write_text(before + heading + replaced)


def main() -> None:
    """Write the pages' examples."""
    with tempfile.TemporaryDirectory(prefix="stella-example-") as folder:
        store = Store.open(f"sqlite:///{Path(folder) / 'stella.db'}")
        packets = example_packets(store)
        store.close()
    for kind, packet in packets.items():
        _write(DOCS / "evidence" / f"{kind}.md", written(packet))
    decision, key = packets["decision"], signing_key()
    page = DOCS / "evidence-format.md"
    _write(page, written(decision), decision.envelope.decode(), key.public_pem.decode().rstrip("\n"))
    text = re.sub(r"(whose digest is `)[^`]*", rf"\g<1>{decision.digest}", page.read_text())
    page.write_text(re.sub(r"(with the id `)[^`]*", rf"\g<1>{key.key_id}", text))


if __name__ == "__main__":
    main()
