"""Why a promotion is where it is, and what would change it: one wording for `promote`, `status` and the demo."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from stella_pipelines.cli.output import Output, styled
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.promotions.evaluation import GateResult
from stella_pipelines.promotions.explanation import Explanation
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.promotions.wording import moment


def say_why(plane: ControlPlane, output: Output, promotion: Promotion) -> None:
    """Each gate's verdict and reasons, the failure if there was one, the remedies, and what else took part."""
    tell_why(output, promotion, *plane.promotions.explained([promotion])[promotion.id])


def tell_why(output: Output, promotion: Promotion, explanation: Explanation, results: Sequence[GateResult]) -> None:
    """The same, of what was read already."""
    for result in results:
        output.say(f"  {styled(result.verdict.verdict)}  [bold]{escape(result.name)}[/]  {escape(' '.join(result.verdict.reasons))}")
        for remedy in result.verdict.would_change:
            output.say(f"         → {escape(remedy)}")
    if promotion.failure:
        output.say(f"  [red]{escape(str(promotion.failure.get('code', '')))}[/]  {escape(str(promotion.failure.get('what', '')))}")
        output.say(f"         → {escape(str(promotion.failure.get('next_step', '')))}")
    if explanation.asked_again_at:
        output.say(f"  asked again by itself at {moment(explanation.asked_again_at)}")
    for note in explanation.notes:
        output.say(f"  [yellow]note[/]  {escape(note)}")
