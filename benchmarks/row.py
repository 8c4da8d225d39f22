"""One measured figure, and what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`value` in `unit`, and the same figure of a peer or a limit from the same run. `ratio` is value / peer_value."""

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float

    @property
    def ratio(self) -> float:
        """How many times the peer's figure ours is."""
        return self.value / self.peer_value if self.peer_value else float("inf")

    def document(self) -> dict[str, str | float]:
        """The row as it stands in `build/bench.json`."""
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "peer": self.peer,
            "peer_value": round(self.peer_value, 4),
            "ratio": round(self.ratio, 3),
        }
