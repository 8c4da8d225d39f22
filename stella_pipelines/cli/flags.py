"""Help without `<bool>` behind every flag: a flag takes no value, so naming its type only invites people to write one."""

from __future__ import annotations

from typing import Any


def without_flag_types(command: Any) -> Any:
    """The same command, and all below it, with flags that show no type. The parser's classes are private to it, hence Any."""
    with command.make_context("", [], resilient_parsing=True) as context:
        for parameter in command.get_params(context):
            if getattr(parameter, "is_flag", False) and parameter.metavar is None:
                parameter.metavar = ""
    for child in getattr(command, "commands", {}).values():
        without_flag_types(child)
    return command
