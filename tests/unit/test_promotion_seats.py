"""One person, one seat: the seating is as large as any seating can be."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from stella_pipelines.promotions.seats import Group, seat

PEOPLE = "abcde"
GROUPS = st.lists(st.tuples(st.integers(1, 2), st.sets(st.sampled_from(PEOPLE))), min_size=1, max_size=3)


def groups_of(drawn: list[tuple[int, set[str]]]) -> list[Group]:
    return [Group(name=f"g{number}", required=required, people=tuple(sorted(people))) for number, (required, people) in enumerate(drawn)]


def possible_by_trying_everything(groups: list[Group]) -> int:
    places = [group for group in groups for _ in range(group.required)]
    padded = list(PEOPLE) + [""] * len(places)
    return max(sum(person in place.people for person, place in zip(order, places, strict=False)) for order in itertools.permutations(padded, len(places)))


@given(GROUPS.filter(lambda drawn: sum(required for required, _ in drawn) <= 4))
def test_no_larger_seating_exists(drawn: list[tuple[int, set[str]]]) -> None:
    groups = groups_of(drawn)
    assert sum(len(people) for people in seat(groups).seated.values()) == possible_by_trying_everything(groups)


@given(GROUPS)
def test_nobody_sits_twice_or_where_they_may_not(drawn: list[tuple[int, set[str]]]) -> None:
    groups = groups_of(drawn)
    seating = seat(groups)
    everyone = [person for people in seating.seated.values() for person in people]
    assert len(everyone) == len(set(everyone))
    for group in groups:
        assert set(seating.seated[group.name]) <= set(group.people)
        assert len(seating.seated[group.name]) + seating.missing[group.name] == group.required


def test_no_groups_are_not_a_complete_seating() -> None:
    assert not seat([]).complete
