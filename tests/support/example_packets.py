"""Freshly sealed packets of every kind, on simulated targets: what `docs/evidence-format.md` shows is compared with them.

`python -m tests.support.example_packets` prints the example of that page anew: the statement, the packet's digest and the packet.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from stella_pipelines.core.actor import Actor
from stella_pipelines.environments.model import AllAtOnce, Gate, Policy, PolicyGateConfig, SecurityGateConfig
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.statement import Kind
from stella_pipelines.evidence.verify import VerifiedPacket, verify_packet
from stella_pipelines.store.database import Store
from tests.simulation.installation import Installation, image, make_estate
from tests.simulation.timeline import SimulatedClock
from tests.simulation.world import World
from tests.support.evidence import signing_key

REQUESTER = Actor(name="alice", via="cli")
_GATES = (
    Gate(name="ours", config=PolicyGateConfig(policy="only_the_shop")),
    Gate(name="vulnerabilities", config=SecurityGateConfig()),
)


def example_packets(store: Store) -> Mapping[Kind, SealedPacket]:
    """A release that arrives, one that goes back, and one that the security gate denies; after each the newest packet of production."""
    clock = SimulatedClock()
    installation = Installation(store, clock, World(clock))
    estate = make_estate(2, AllAtOnce())
    installation.apply(estate)
    installation.deploy(installation.release("1.0.0"))
    deployment = _newest(installation, "deployment")
    installation.world.unhealthy.add(image("web", "1.0.1").digest)
    installation.deploy(installation.release("1.0.1"))
    rollback = _newest(installation, "rollback")
    gated = estate.environments[0].model_copy(update={"gates": _GATES})
    installation.apply(estate.model_copy(update={"environments": (gated,), "policies": (Policy(name="only_the_shop", cel="release.name == 'shop'"),)}))
    denied = installation.release("1.1.0")
    promotion = installation.promotions.request(REQUESTER, environment="prod", release_digest=denied, reason="weekly release")
    installation.evaluate(promotion.id)
    return {"decision": _newest(installation, "decision"), "deployment": deployment, "rollback": rollback}


def opened(packet: SealedPacket) -> VerifiedPacket:
    """The packet, verified with the tests' key."""
    return verify_packet(packet.envelope, [signing_key().public_pem])


def _newest(installation: Installation, kind: Kind) -> SealedPacket:
    with installation.database.reading() as tx:
        return installation.evidence.list(tx, environment="prod", kind=kind, limit=1)[0]


def main() -> None:
    """Print the page's example."""
    with tempfile.TemporaryDirectory(prefix="stella-example-") as folder:
        store = Store.open(f"sqlite:///{Path(folder) / 'stella.db'}")
        packet = example_packets(store)["decision"]
        store.close()
    print(json.dumps(json.loads(opened(packet).statement.canonical()), indent=2, ensure_ascii=False))  # the members in the order of the bytes
    print(opened(packet).packet_digest)
    print(packet.envelope.decode())
    print(signing_key().key_id)
    print(signing_key().public_pem.decode())


if __name__ == "__main__":
    main()
