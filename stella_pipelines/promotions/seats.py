"""Seats of approval groups: which people fill which seats, one person one seat. Pure; maximum bipartite matching (Kuhn's augmenting paths).

Counting heads per group is not enough: with groups A {ann, bob} and B {ann}, the approvals of ann and bob fill both groups only if ann takes B's seat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stella_pipelines.core.values import Value


class Group(Value):
    """`required` seats, and who may sit on them."""

    name: str
    required: int
    people: tuple[str, ...]


class Seating(Value):
    """Who sits where. `missing` is the number of empty seats per group."""

    seated: dict[str, tuple[str, ...]]
    missing: dict[str, int]

    @property
    def complete(self) -> bool:
        """Whether there is at least one seat and every seat is taken. Empty is not pass."""
        return bool(self.seated) and not any(self.missing.values())


def seat(groups: Sequence[Group]) -> Seating:
    """The largest possible seating; the same groups give the same seating."""
    seats = [(group.name, number) for group in groups for number in range(group.required)]
    wanting = {group.name: tuple(sorted(set(group.people))) for group in groups}
    taken_by: dict[str, tuple[str, int]] = {}
    for place in seats:
        _find(place, wanting, taken_by, set())
    seated = {group.name: tuple(sorted(person for person, (name, _) in taken_by.items() if name == group.name)) for group in groups}
    return Seating(seated=seated, missing={group.name: group.required - len(seated[group.name]) for group in groups})


def _find(place: tuple[str, int], wanting: Mapping[str, Sequence[str]], taken_by: dict[str, tuple[str, int]], tried: set[str]) -> bool:
    for person in wanting[place[0]]:
        if person in tried:
            continue
        tried.add(person)
        holds = taken_by.get(person)
        if holds is None or _find(holds, wanting, taken_by, tried):
            taken_by[person] = place
            return True
    return False
