"""The freeze window gate: closed while any declared window that covers the environment is open.

A closed window makes the promotion wait for the next open slot. A closure with no end in sight is a denial: nothing would ever wake the promotion.
"""

from __future__ import annotations

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.values import Value
from stella_pipelines.environments.freeze import is_frozen
from stella_pipelines.environments.model import FreezeWindow, Gate
from stella_pipelines.promotions.gates.port import GateContext, GateInputs, GateVerdict, allow, deny, wait
from stella_pipelines.promotions.wording import moment


class FreezeInputs(Value):
    """The windows that cover the environment, and the moment asked about."""

    environment: str
    windows: tuple[FreezeWindow, ...]
    now: Instant


class FreezeWindowGate:
    """See the module's docstring."""

    kind = "freeze_window"

    def gather(self, gate: Gate, context: GateContext) -> GateInputs:
        """The estate's windows for this environment."""
        name = context.environment.name
        windows = tuple(window for window in context.estate.freeze_windows if not window.environments or name in window.environments)
        return GateInputs(name=gate.name, kind=self.kind, facts=FreezeInputs(environment=name, windows=windows, now=context.now).document())

    def judge(self, inputs: GateInputs) -> GateVerdict:
        """Open, closed until a time, or closed without an end."""
        facts = FreezeInputs.model_validate(inputs.facts)
        answer = is_frozen(facts.windows, facts.environment, facts.now)
        if not answer.frozen:
            return allow(f"No freeze window of {facts.environment} is open.")
        reasons = tuple(f"Freeze window {window.name} is open until {moment(window.until)}: {window.reason}" for window in answer.open_windows)
        reasons = reasons or (f"{facts.environment} is frozen.",)
        if answer.next_open is None or answer.next_open <= facts.now:
            return deny(*reasons, "No open slot follows.", would_change=("Change or remove the freeze window in the estate file, then request again.",))
        return wait(*reasons, until=answer.next_open, would_change=(f"It is asked again at the next open slot, {moment(answer.next_open)}.",))
