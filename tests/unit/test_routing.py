"""Where a call goes: decision tables, the walk over the claims, and that no claim ever leads to a stranger's number."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscontrol.calls import routing
from fscontrol.calls.admission import TrunkSource
from fscontrol.calls.called_number import REGISTRATION, REQUEST_URI, SOURCES, Claim, NumberRules, forms
from fscontrol.calls.routing import Accept, Reason, Reject, Verdict, admit, decide, texts_to_look_up
from fscontrol.model.organization import PhoneNumber
from fscontrol.store.base import Assignment

ONE, TWO, THREE = "+15551230001", "+15551230002", "+15551230003"


def number(phone_number: str, **fields: object) -> PhoneNumber:
    given = {"id": 1, "phone_number": phone_number, "assistant_id": 123, **fields}
    return PhoneNumber.model_validate(given)


def trunk(organization: str = "a", trunk_id: str = "t", **fields: object) -> TrunkSource:
    return TrunkSource(organization, organization, trunk_id, **fields)  # type: ignore[arg-type]


def claim(user: str, source: str = REQUEST_URI) -> Claim:
    return Claim(source, f"<sip:{user}@h>", user)


Owned = dict[str, list[PhoneNumber]]


def look_up(numbers: Owned, texts: Sequence[str]) -> list[Assignment]:
    """What a store answers: every number of every organisation that one of the texts names."""
    return [
        Assignment(organization=organization, matched=text, number=owned)
        for organization, owns in numbers.items()
        for owned in owns
        for text in texts
        if text in (owned.phone_number, owned.destination_key)
    ]


def route(users: Sequence[str], owners: Sequence[TrunkSource], numbers: Owned) -> Verdict:
    claimed = [claim(user, SOURCES[index % len(SOURCES)]) for index, user in enumerate(users)]
    return decide(claimed, owners, look_up(numbers, texts_to_look_up(claimed, owners)))


def outcome(verdict: Verdict) -> object:
    """`(organisation, number, assistant)` of an accepted call, the reason of a refused one."""
    decision = verdict.decision
    if isinstance(decision, Accept):
        return decision.source.organization, decision.number.phone_number, decision.assistant_id
    return decision.reason


A = [trunk("a")]
A_AND_B = [trunk("a"), trunk("b")]
INACTIVE = number(TWO, is_active=False)
UNASSIGNED = number(THREE, assistant_id=None)


@pytest.mark.parametrize(
    ("users", "owners", "numbers", "expected"),
    [
        # one number, its state
        ([ONE], A, {"a": [number(ONE)]}, ("a", ONE, 123)),
        ([ONE], A, {"a": []}, Reason.UNKNOWN_NUMBER),
        ([], A, {"a": [number(ONE)]}, Reason.UNKNOWN_NUMBER),
        ([TWO], A, {"a": [INACTIVE]}, Reason.NUMBER_INACTIVE),
        ([THREE], A, {"a": [UNASSIGNED]}, Reason.NOT_ASSIGNED),
        ([THREE], A, {"a": [number(THREE, assistant_id=None, flow_id="f")]}, ("a", THREE, None)),
        ([THREE], [trunk(default_assistant_id=9)], {"a": [UNASSIGNED]}, ("a", THREE, 9)),
        ([ONE], [trunk(default_assistant_id=9)], {"a": [number(ONE)]}, ("a", ONE, 123)),
        ([TWO], [trunk(default_assistant_id=9)], {"a": [INACTIVE]}, Reason.NUMBER_INACTIVE),
        ([ONE], [trunk(default_assistant_id=9)], {"a": []}, Reason.UNKNOWN_NUMBER),
        (
            [TWO],
            A,
            {"a": [number(TWO, is_active=False, assistant_id=None)]},
            Reason.NUMBER_INACTIVE,
        ),
        # the walk: the first claim that can be answered, in their order
        ([ONE, TWO], A, {"a": [number(TWO, assistant_id=2), number(ONE, assistant_id=1)]}, ("a", ONE, 1)),
        (["+499", "x", "", ONE], A, {"a": [number(ONE)]}, ("a", ONE, 123)),
        ([TWO, ONE], A, {"a": [INACTIVE, number(ONE)]}, ("a", ONE, 123)),
        ([THREE, ONE], A, {"a": [UNASSIGNED, number(ONE)]}, ("a", ONE, 123)),
        # a refusal is remembered, the first of them, and unknown ones are none
        (["+499", TWO, "x"], A, {"a": [INACTIVE]}, Reason.NUMBER_INACTIVE),
        ([TWO, THREE], A, {"a": [INACTIVE, UNASSIGNED]}, Reason.NUMBER_INACTIVE),
        ([THREE, TWO], A, {"a": [INACTIVE, UNASSIGNED]}, Reason.NOT_ASSIGNED),
        # an extension several numbers share is never guessed, but another claim may decide
        (["80"], A, {"a": [number(ONE, destination_key="80")]}, ("a", ONE, 123)),
        (
            ["80"],
            A,
            {"a": [number(ONE, destination_key="80"), number(TWO, destination_key="80")]},
            Reason.AMBIGUOUS_NUMBER,
        ),
        (
            ["80", TWO],
            A,
            {"a": [number(ONE, destination_key="80"), number(TWO, destination_key="80")]},
            ("a", TWO, 123),
        ),
        # ambiguity does not look at what could answer: that would be a guess as well
        (
            ["80"],
            A,
            {"a": [number(ONE, destination_key="80"), number(TWO, destination_key="80", is_active=False)]},
            Reason.AMBIGUOUS_NUMBER,
        ),
        (["8"], A, {"a": [number(ONE, destination_key="80")]}, Reason.UNKNOWN_NUMBER),
        (["080"], A, {"a": [number(ONE, destination_key="80")]}, Reason.UNKNOWN_NUMBER),
        # tenants who share an address
        ([ONE], A_AND_B, {"a": [number(TWO)], "b": [number(ONE, assistant_id=5)]}, ("b", ONE, 5)),
        ([ONE], A_AND_B, {"a": [number(ONE)], "b": [number(ONE)]}, Reason.AMBIGUOUS_NUMBER),
        (
            ["80"],
            A_AND_B,
            {"a": [number(ONE, destination_key="80")], "b": [number(TWO, destination_key="80")]},
            Reason.AMBIGUOUS_NUMBER,
        ),
        (["80", TWO], A_AND_B, {"a": [number(ONE, destination_key="80")], "b": [number(TWO)]}, ("a", ONE, 123)),
        ([ONE], A_AND_B, {"a": [], "b": [], "c": [number(ONE)]}, Reason.UNKNOWN_NUMBER),
        # a tenant that is no owner is not even looked at
        ([ONE], A, {"a": [number(ONE)], "b": [number(ONE)]}, ("a", ONE, 123)),
        ([TWO], A, {"a": [number(ONE)], "b": [INACTIVE]}, Reason.UNKNOWN_NUMBER),
        # a number under one tenant's rules and another's extension: two readings, so nobody's
        (
            ["5551230001"],
            [trunk("a", rules=NumberRules("US")), trunk("b")],
            {"a": [number(ONE)], "b": [number(TWO, destination_key="5551230001")]},
            Reason.AMBIGUOUS_NUMBER,
        ),
        # nobody gets a neighbour's number by rules under which it comes out sooner
        (
            ["15551230001"],
            [trunk("a", rules=NumberRules("", "9")), trunk("b", rules=NumberRules("DE"))],
            {"a": [number(ONE)], "b": [number(ONE)]},
            Reason.AMBIGUOUS_NUMBER,
        ),
        # within a tenant the form that is more certain wins
        (
            ["5551230001"],
            [trunk("a", rules=NumberRules("US"))],
            {"a": [number(ONE), number(TWO, destination_key="5551230001")]},
            ("a", ONE, 123),
        ),
        # every trunk by its own rules
        (
            ["030123456"],
            [trunk("a", rules=NumberRules("US")), trunk("b", rules=NumberRules("DE"))],
            {"a": [number("+4930123456", assistant_id=1)], "b": [number("+4930123456", assistant_id=2)]},
            ("b", "+4930123456", 2),
        ),
    ],
)  # fmt: skip
def test_decisions(users: list[str], owners: list[TrunkSource], numbers: Owned, expected: object) -> None:
    assert outcome(route(users, owners, numbers)) == expected


EXTENSION = number(ONE, destination_key="9228")
OTHERS_EXTENSION = number(TWO, destination_key="9228")


@pytest.mark.parametrize(
    ("owners", "numbers", "expected"),
    [
        (A, {"a": [EXTENSION]}, ("a", ONE, 123)),
        (A_AND_B, {"a": [EXTENSION]}, ("a", ONE, 123)),
        (A_AND_B, {"b": [OTHERS_EXTENSION]}, Reason.UNKNOWN_NUMBER),  # a's registration never leads to b
        (A_AND_B, {"a": [EXTENSION], "b": [OTHERS_EXTENSION]}, Reason.AMBIGUOUS_NUMBER),  # nor chooses a
        (A, {"a": [EXTENSION, OTHERS_EXTENSION]}, Reason.AMBIGUOUS_NUMBER),
        (A, {"a": [number(ONE)]}, Reason.UNKNOWN_NUMBER),
        (A, {"a": []}, Reason.UNKNOWN_NUMBER),
    ],
)
def test_a_registration_names_a_number_of_its_own_organisation(
    owners: list[TrunkSource], numbers: Owned, expected: object
) -> None:
    claimed = [claim("gw+a.t.ab12cd34"), Claim(REGISTRATION, "<sip:gw+a.t.ab12cd34@h>", "9228", "a")]
    assert outcome(decide(claimed, owners, look_up(numbers, texts_to_look_up(claimed, owners)))) == expected


def test_a_number_goes_with_the_trunk_it_is_bound_to() -> None:
    owners = [trunk("a", "first", default_assistant_id=1), trunk("a", "second", default_assistant_id=2)]
    for bound, assistant in (("first", 1), ("second", 2), (None, 1), ("gone", 1)):
        owned = {"a": [number(ONE, assistant_id=None, sip_trunk_id=bound)]}
        assert outcome(route([ONE], owners, owned)) == ("a", ONE, assistant)


def test_the_record_says_how_every_claim_fared() -> None:
    verdict = route(["x", TWO, ONE, THREE], A, {"a": [INACTIVE, number(ONE), UNASSIGNED]})
    assert [(c.source, c.outcome) for c in verdict.candidates] == [
        ("Diversion", "no number of this trunk's organisations"),
        ("History-Info", f"{TWO} is not active"),
        ("X-Original-Called", f"matched {ONE}"),
        ("X-Original-Number", "not looked at: decided before"),
    ]
    assert verdict.candidates[1].forms == (TWO,)
    assert verdict.candidates[2].raw == f"<sip:{ONE}@h>"


def test_the_record_of_a_call_does_not_tell_of_the_neighbours() -> None:
    """An address several tenants share: what the others own, and how they dial, is not the accepted one's business."""
    owners = [trunk("a", rules=NumberRules("DE", "49")), trunk("b")]
    owned = {"a": [INACTIVE, number(ONE)], "b": [number(ONE), number(THREE)]}
    verdict = route([TWO, ONE, "030123456", THREE], owners, owned)
    assert outcome(verdict) == ("b", THREE, 123)
    assert [(candidate.outcome, candidate.forms) for candidate in verdict.candidates] == [
        ("no number of this trunk's organisations", (TWO,)),
        ("fits several numbers; never guessed", (ONE,)),
        ("no number of this trunk's organisations", ("030123456",)),
        (f"matched {THREE}", (THREE,)),
    ]


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        ([], Reason.UNKNOWN_SOURCE),
        ([trunk(inbound_enabled=False)], Reason.INBOUND_DISABLED),
        ([trunk("a", inbound_enabled=False), trunk("b", inbound_enabled=False)], Reason.INBOUND_DISABLED),
        ([trunk("a", inbound_enabled=False), trunk("b")], ["b"]),
        ([trunk("a"), trunk("a", "other", inbound_enabled=False)], ["a"]),
    ],
)
def test_admission(owners: list[TrunkSource], expected: object) -> None:
    admitted = admit(owners, "192.0.2.1")
    found = admitted.reason if isinstance(admitted, Reject) else [source.organization for source in admitted]
    assert found == expected


def test_a_closed_tenant_is_not_reached_over_a_shared_address() -> None:
    admitted = admit([trunk("a", inbound_enabled=False), trunk("b")], "192.0.2.1")
    assert not isinstance(admitted, Reject)
    assert outcome(route([ONE], admitted, {"a": [number(ONE)], "b": [number(TWO)]})) == Reason.UNKNOWN_NUMBER


def test_every_reason_has_a_status_and_a_trunks_own_code_wins() -> None:
    assert set(routing.SIP_STATUS) == set(Reason)
    assert Reject(Reason.REJECTED_BY_RULE, "").sip_status == 603
    assert Reject(Reason.REJECTED_BY_RULE, "", code=486).sip_status == 486


def test_thousands_behind_one_carrier_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim is read once for each set of rules, not for each trunk: parsing a number is what costs."""
    read: list[str] = []

    def counting(user: str, rules: NumberRules) -> tuple[str, ...]:
        read.append(user)
        return forms(user, rules)

    monkeypatch.setattr(routing, "forms", counting)
    owners = [trunk(str(index), rules=NumberRules("US" if index % 2 else "DE")) for index in range(3000)]
    claimed = [claim(f"+1555123{index:04}") for index in range(10)]
    verdict = decide(claimed, owners, look_up({"77": [number("+15551230009")]}, ["+15551230009"]))
    assert outcome(verdict) == ("77", "+15551230009", 123)
    assert len(read) <= 3 * len(claimed), "under two sets of rules, and once more for the record"


ORGANIZATIONS = ["a", "b", "c"]
RULES = st.builds(NumberRules, st.sampled_from(["", "US", "DE"]), st.sampled_from(["", "9", "49"]))
DIALLED = st.sampled_from(
    [
        "+15551230001",
        "15551230001",
        "0015551230001",
        "5551230001",
        "9228",
        "915551230001",
        "4930123456",
        "030123456",
    ]
) | st.text(max_size=12)
NUMBERS = st.lists(
    st.builds(
        number,
        st.sampled_from([ONE, TWO, "+4930123456", "+915551230001"]),
        assistant_id=st.none() | st.integers(1, 3),
        is_active=st.booleans(),
        destination_key=st.none() | DIALLED.filter(lambda text: text.isprintable() and text == text.strip()),
        sip_trunk_id=st.none() | st.sampled_from(["t", "u"]),
    ),
    max_size=4,
)


@given(
    st.lists(
        st.builds(
            trunk,
            st.sampled_from(ORGANIZATIONS),
            st.sampled_from("tu"),
            rules=RULES,
            inbound_enabled=st.booleans(),
            default_assistant_id=st.none() | st.just(7),
        ),
        max_size=5,
    ),
    st.fixed_dictionaries(dict.fromkeys(ORGANIZATIONS, NUMBERS)),
    st.lists(DIALLED, max_size=6),
)
def test_isolation(owners: list[TrunkSource], numbers: Owned, users: list[str]) -> None:
    """A call that may belong to some organisations is never routed to another, whatever it claims."""
    admitted = admit(owners, "192.0.2.1")
    if isinstance(admitted, Reject):
        return
    verdict = route(users, admitted, numbers)
    # The others' numbers make no difference at all: not to the decision, and not to what the record says.
    mine = {source.organization for source in admitted}
    alone = {organization: owned for organization, owned in numbers.items() if organization in mine}
    assert verdict == route(users, admitted, alone)
    if isinstance(verdict.decision, Accept):
        accepted = verdict.decision
        assert accepted.source in admitted
        assert accepted.number in numbers[accepted.source.organization]
        assert accepted.number.is_active
        assert accepted.assistant_id is not None or accepted.flow_id is not None
