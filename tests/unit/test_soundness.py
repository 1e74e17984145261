"""The rules of an organisation: a trunk is looked at until it was found sound, and what is wrong told by its place."""

from __future__ import annotations

from fscontrol.errors import Problem
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk
from fscontrol.provisioning.soundness import Soundness


class Rules:
    """No trunk may be named so; and no organisation may be named so."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.looked_at: list[str] = []

    def __call__(self, organization: Organization) -> list[Problem]:
        self.looked_at += [trunk.id for trunk in organization.trunks]
        found = [
            Problem(f"trunks[{index}].name", "refused")
            for index, trunk in enumerate(organization.trunks)
            if trunk.name in self.refused
        ]
        return [*found, *([Problem("name", "refused")] if organization.name in self.refused else [])]


def trunk(name: str) -> Trunk:
    return Trunk(id=name, name=name, gateway="192.0.2.1")


def test_a_trunk_that_was_found_sound_is_not_looked_at_again_and_an_equal_one_is() -> None:
    rules, one, other = Rules(), trunk("one"), trunk("other")
    soundness = Soundness(rules)
    assert soundness.problems(Organization(id=7, trunks=(one,))) == []
    assert soundness.problems(Organization(id=8, trunks=(one, other))) == []
    assert soundness.problems(Organization(id=7, trunks=(trunk("one"),))) == []
    assert rules.looked_at == ["one", "other", "one"]


def test_what_is_wrong_is_told_by_its_place_each_time() -> None:
    soundness, sound, bad = Soundness(Rules("bad"), Rules()), trunk("sound"), trunk("bad")
    assert soundness.problems(Organization(id=7, trunks=(sound,))) == []
    for _ in range(2):
        found = soundness.problems(Organization(id=7, trunks=(sound, bad)))
        assert [problem.path for problem in found] == ["trunks[1].name"]


def test_what_an_organisation_says_itself_is_looked_at_each_time() -> None:
    soundness, sound = Soundness(Rules("bad")), trunk("sound")
    assert soundness.problems(Organization(id=7, trunks=(sound,))) == []
    found = soundness.problems(Organization(id=7, name="bad", trunks=(sound,)))
    assert [problem.path for problem in found] == ["name"]


def test_a_trunk_made_where_a_sound_one_was_is_another() -> None:
    soundness, sound = Soundness(Rules("bad")), [trunk("sound") for _ in range(1000)]
    assert soundness.problems(Organization(id=7, trunks=tuple(sound))) == []
    places = set(map(id, sound))
    del sound
    others = [trunk("bad") for _ in range(2000)]  # each where another was, sooner or later
    found = [other for other in others if id(other) in places]
    assert found
    assert all(soundness.problems(Organization(id=7, trunks=(other,))) for other in found)
