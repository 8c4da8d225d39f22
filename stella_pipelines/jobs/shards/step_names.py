"""What a step hands the next one when each may run on another machine: its name, and nothing else. What there is to know is in the store."""

import dagster as dg

STEP_NAMES = "step_names"


class StepNames(dg.IOManager):
    """Stores nothing. A step that was asked for by name (`DynamicOutput`) is handed that name; any other one, the name of the step before it."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        del context, obj

    def load_input(self, context: dg.InputContext) -> str:
        before = context.upstream_output
        assert before is not None, "every input of ours comes from a step"
        return before.mapping_key or before.step_key


@dg.io_manager
def step_names() -> StepNames:
    """The names of steps in the place of values."""
    return StepNames()
