"""The evidence signer as a Dagster resource: its public half, to check what is shown. Sealing happens in the services' transactions."""

import dagster as dg

from resources.control_plane import ControlPlaneResource
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.verify import VerifiedPacket, verify_packet


class SignerResource(dg.ConfigurableResource["SignerResource"]):
    """Verifies packets against the keys that ever sealed in this installation."""

    control_plane: dg.ResourceDependency[ControlPlaneResource]

    @property
    def public_pem(self) -> bytes:
        """The public key that an auditor needs."""
        return self.control_plane.plane.evidence.public_pem

    def verified(self, packet: SealedPacket) -> VerifiedPacket:
        """The packet's statement, after its signature was checked."""
        plane = self.control_plane.plane
        with plane.store.reading() as tx:
            return verify_packet(packet.envelope, plane.evidence.keys(tx))
