"""The numbers that pushes and edits of an organisation get; pure.

Owns: the rule of generations (CONTRACTS.md §1), and when two pushes say the same. Refuses: to let a push go back.
"""

from __future__ import annotations

from dataclasses import dataclass

from fscontrol.errors import StaleGeneration
from fscontrol.model.organization import Organization


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers a push gets: `generation` is ours and rises with every change, `pushed` is what its sender knows."""

    generation: int
    pushed: int


def next_generation(stored: Organization | None, given: int | None, same_content: bool) -> Numbers:
    """The generation a push gets (CONTRACTS.md §1), pure.

    `given` None: we count, and the same content keeps its number. Raises `StaleGeneration` for an older one than the
    last push's, and for a number already used for other content: whichever of the two came second, the sender does
    not know. What was edited here since does not count against him: his number is compared with his own last one.
    """
    if stored is None:
        number = 1 if given is None else given
        return Numbers(number, number)
    known, ours = stored.pushed_generation, stored.generation
    if given is None:
        return (
            Numbers(ours, ours if known is None else known) if same_content else Numbers(ours + 1, ours + 1)
        )
    if known is not None and given < known:
        raise StaleGeneration(f"generation {given} is older than {known}, which is stored")
    if given == known and not same_content and not stored.edited:
        raise StaleGeneration(f"generation {given} is stored with other content; send a higher one")
    return Numbers(max(given, ours if same_content else ours + 1), given)


def same_content(one: Organization, other: Organization) -> bool:
    """Whether two pushes say the same, whatever their numbers, forced or not, edited or not."""
    same = {"generation": 0, "id": one.key, "forced": False, "pushed_generation": None, "edited": False}
    same |= {"trunk_times": {}, "draft": None}
    return one.key == other.key and one.model_copy(update=same) == other.model_copy(update=same)
