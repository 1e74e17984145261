"""Whether an organisation keeps every rule, without looking again at trunks that do.

Owns: remembering which trunks were found sound, by their identity: a trunk that a push repeats is the very one of the
last time (`trunk_row`, `organizations.with_known_trunks`), and most pushes change few. Refuses: rules that look at
other trunks beside one, or at what may change while we run and is not the organisation's; none is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import ref

from fscontrol.errors import Problem
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk

Rules = Callable[[Organization], Sequence[Problem]]
MOST_REMEMBERED = 20_000


class Soundness:
    """Finds what is wrong with an organisation. What a rule says of a trunk depends on that trunk alone."""

    def __init__(self, *rules: Rules) -> None:
        self._rules = rules
        self._sound: dict[int, ref[Trunk]] = {}

    def problems(self, organization: Organization) -> list[Problem]:
        """Everything wrong, by its path in the document."""
        new = tuple(trunk for trunk in organization.trunks if not self._is_sound(trunk))
        if not self._found(organization.model_copy(update={"trunks": new})):
            if len(self._sound) + len(new) > MOST_REMEMBERED:
                self._sound.clear()
            self._sound |= {id(trunk): ref(trunk) for trunk in new}
            return []
        return self._found(organization)  # whole, for the paths

    def _is_sound(self, trunk: Trunk) -> bool:
        known = self._sound.get(id(trunk))
        return known is not None and known() is trunk

    def _found(self, organization: Organization) -> list[Problem]:
        return [problem for rules in self._rules for problem in rules(organization)]
