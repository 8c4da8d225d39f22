"""Another estate, tried on recorded decisions: reads what `what_if.py` judges by, and judges.

The estate of a decision's time is read only where a plugin's gate is tried, and kept for the next decision, which mostly has the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.model import Estate, PluginGateConfig
from stella_pipelines.evidence.statement import Statement
from stella_pipelines.promotions.gates.port import GateKind
from stella_pipelines.promotions.gates.registry import gate_kinds
from stella_pipelines.promotions.recorded_decision import ReadBlob, changed, read_decision, read_input
from stella_pipelines.promotions.what_if import WhatIf, what_if


class Trial:
    """See the module's docstring."""

    def __init__(self, new: Estate, kinds: Mapping[str, GateKind] | None = None) -> None:
        self._new = new
        self._kinds = gate_kinds() if kinds is None else kinds
        self._has_plugins = any(isinstance(gate.config, PluginGateConfig) for one in new.environments if one.gates != "none" for gate in one.gates)
        self._last: tuple[Digest, Estate] | None = None

    def look(self, packet_id: str, statement: Statement, read_blob: ReadBlob) -> WhatIf:
        """What the new estate would have decided, from a verified packet's statement."""
        decision = read_decision(packet_id, statement, read_blob)
        then = self._estate(decision.context.estate_digest, read_blob) if self._has_plugins else None
        return what_if(decision, self._new, then, self._kinds)

    def _estate(self, digest: Digest, read_blob: ReadBlob) -> Estate:
        if self._last is None or self._last[0] != digest:
            self._last = digest, _parsed(read_input({"estate": digest}, "estate", read_blob))
        return self._last[1]


def _parsed(content: bytes) -> Estate:
    try:
        return Estate.model_validate_json(content)
    except ValidationError as error:
        raise changed("estate", "it does not have the form that this version reads") from error
