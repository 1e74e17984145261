"""How a call finds its assistant: templates, the allow-list, an organisation's words beside the settings."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr, ValidationError

from fscontrol.errors import MediaError, SecretUnreadable, UnsafeArgument
from fscontrol.esl import call_commands
from fscontrol.media.choice import MediaDefaults, choose
from fscontrol.model.assistant_media import AssistantMedia, Driver, WhenLost
from fscontrol.model.call import CallRecord, MediaFigures
from fscontrol.model.call_template import (
    fill_sip,
    fill_url,
    host_of,
    is_allowed,
    sip_template,
    stream_template,
)
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk
from fscontrol.provisioning.media_rules import MediaRules
from fscontrol.provisioning.sync_document import parse
from fscontrol.store.sealing import open_organization, seal_organization
from fscontrol.store.secrets import Vault

UUID = "44444444-4444-4444-4444-444444444400"
RECORD = CallRecord(
    call_sid="sip-1",
    direction="inbound",
    uuid=UUID,
    organization_id=7,
    to_number="+1555",
    from_number="a&b=c/../#?",
)
CALL = RECORD.model_dump()
OURS = MediaDefaults(
    stream_url="wss://ours/{call_sid}",
    stream_token=SecretStr("our-key"),
    hosts=("ai.tenant.example", "*.ok.example"),
)


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("wss://h/streams?call={call_sid}", "wss://h/streams?call=sip-1"),
        ("ws://h/{to_number}/{from_number}", "ws://h/%2B1555/a%26b%3Dc%2F..%2F%23%3F"),
        ("ws://h/{organization_id}/{assistant_id}", "ws://h/7/"),
    ],
)
def test_a_stream_url_is_filled_and_no_value_leaves_its_place(template: str, url: str) -> None:
    assert fill_url(stream_template(template), CALL) == url


@pytest.mark.parametrize(
    "template",
    [
        "http://h/x",
        "ws:///x",
        "wss://{to_number}/x",
        "wss://user:password@h/x",
        "wss://h:0/x",
        "ws://h/{nobody}",
        "ws://h/{call_sid",
        "ws://h/{}",
        "ws://h/{call_sid.__class__}",
        "ws://h/{call_sid!r}",
        "ws://h/{call_sid:>99999999}",
        "ws://h/a b",
        "ws://h/é",
        "ws://h/\r\nX: y",
        "wss://evil.example\\.ok.example/",
        "wss://evil.example%00.ok.example/",
        "wss://evil.example%2f.ok.example/",
        "wss://evil.example&.ok.example/",
        "wss://ok.example./",
    ],
)
def test_a_stream_template_that_could_not_be_used(template: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        stream_template(template)


def test_a_sip_uri_is_filled_with_what_a_user_part_may_hold() -> None:
    assert (
        fill_sip(sip_template("sip:{to_number}@pbx.example.com:5080"), CALL)
        == "sip:+1555@pbx.example.com:5080"
    )
    assert fill_sip("sip:{from_number}@h", CALL) == "sip:a_b_c_..___@h"


@pytest.mark.parametrize(
    "template", ["sip:h", "sip:a@{to_number}", "tel:+1", "sip:{nobody}@h", "sip:a@h;x=y", "sip:a b@h"]
)
def test_a_sip_template_that_could_not_be_used(template: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        sip_template(template)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("a.example", True),
        ("b.a.example", False),
        ("x.ok.example", True),
        ("y.x.ok.example", True),
        ("ok.example", False),
        ("evilok.example", False),
        ("", False),
    ],
)
def test_the_allow_list(host: str, allowed: bool) -> None:
    assert is_allowed(host, ("A.example", "*.ok.example")) is allowed


@pytest.mark.parametrize(
    ("template", "host"),
    [("wss://A.example:443/x", "a.example"), ("sip:{to_number}@Pbx.example:5060", "pbx.example"), ("", "")],
)
def test_the_host_of_a_template(template: str, host: str) -> None:
    assert host_of(template) == host


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("hangup", WhenLost()),
        ("play:sorry.wav", WhenLost("play", "sorry.wav")),
        ("play:https://h/sorry.wav", WhenLost("play", "https://h/sorry.wav")),
        ("transfer:+15551230001", WhenLost("transfer", "+15551230001")),
        ("transfer:sip:desk@pbx.example.com:5060", WhenLost("transfer", "sip:desk@pbx.example.com:5060")),
    ],
)
def test_what_becomes_of_a_lost_call(text: str, parsed: WhenLost) -> None:
    assert WhenLost.parse(text) == parsed


@pytest.mark.parametrize(
    "text",
    ["", "hangup:now", "play:", "play:/etc/passwd", "play:../x.wav", "play:a b.wav", "play:https://u:p@h/x",
     "transfer:", "transfer:someone", "transfer:sip:a@h|b", "transfer:+1|2", "sing"],
)  # fmt: skip
def test_what_cannot_become_of_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        WhenLost.parse(text)


def test_our_own_bearer_goes_to_our_own_url_only() -> None:
    ours = choose(RECORD, None, OURS)
    theirs = choose(RECORD, AssistantMedia(stream_url="wss://ai.tenant.example/x"), OURS)
    with_token = choose(
        RECORD,
        AssistantMedia(stream_url="wss://ai.tenant.example/x", stream_token=SecretStr("their-key")),
        OURS,
    )
    assert ours and ours.target == "wss://ours/sip-1"
    assert ours.headers == {"Authorization": "Bearer our-key"}
    assert theirs and theirs.headers == {}
    assert with_token and with_token.headers == {"Authorization": "Bearer their-key"}
    assert "key" not in repr((OURS, ours, with_token))


def test_a_host_that_was_taken_off_the_list_gets_no_call() -> None:
    with pytest.raises(MediaError, match="evil"):
        choose(RECORD, AssistantMedia(stream_url="wss://evil.example/x"), OURS)
    with pytest.raises(MediaError, match="evil"):
        choose(RECORD, AssistantMedia(driver=Driver.SIP, sip_uri="sip:x@evil.example"), OURS)


def test_no_choice_without_an_assistant() -> None:
    assert choose(RECORD, None, MediaDefaults()) is None
    assert choose(RECORD, AssistantMedia(driver=Driver.SIP), OURS) is None


def test_a_trunks_own_stream_goes_before_its_organisations() -> None:
    trunk = Trunk(
        id="1",
        name="a",
        gateway="h",
        inbound_ai_websocket_url="wss://x.ok.example/{call_sid}",
        api_bearer_token=SecretStr("trunk-key"),
    )
    organization = Organization(
        id=7, media=AssistantMedia(driver=Driver.SIP, sip_uri="sip:a@ai.tenant.example")
    )
    choice = choose(RECORD, organization.media_for(trunk), OURS)
    assert choice and (choice.driver, choice.target) == (Driver.RELAY, "wss://x.ok.example/sip-1")
    assert choice.headers == {"Authorization": "Bearer trunk-key"}
    assert (
        organization.media_for(trunk.model_copy(update={"inbound_ai_websocket_url": ""}))
        == organization.media
    )


def test_a_trunk_has_a_stream_for_each_direction() -> None:
    trunk = Trunk(
        id="1",
        name="a",
        gateway="h",
        inbound_ai_websocket_url="wss://in.ok.example/",
        ai_websocket_url="wss://out.ok.example/",
    )
    organization = Organization(id=7, media=AssistantMedia(stream_url="wss://both.ok.example/"))
    assert organization.media_for(trunk, "inbound").stream_url == "wss://in.ok.example/"
    assert organization.media_for(trunk, "outbound").stream_url == "wss://out.ok.example/"
    bare = trunk.model_copy(update={"ai_websocket_url": ""})
    assert organization.media_for(bare, "outbound").stream_url == "wss://both.ok.example/"


def rules(*lacking: str, hosts: tuple[str, ...] = ("ok.example",)) -> MediaRules:
    return MediaRules(hosts, lambda driver: lacking if driver.module else ())


def found(body: dict[str, object], given: MediaRules) -> dict[str, str]:
    organization = parse({"organization_id": 7, **body}).organization
    return {problem.path: problem.message for problem in given.problems(organization)}


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({}, []),
        ({"media": {"stream_url": "wss://ok.example/x"}}, []),
        ({"media": {"stream_url": "wss://other.example/x"}}, ["media.stream_url"]),
        ({"media": {"when_lost": "transfer:sip:a@other.example"}}, ["media.when_lost"]),
        ({"media": {"when_lost": "transfer:sip:a@ok.example"}}, []),
        ({"media": {"when_lost": "transfer:+15551230001"}}, []),
        ({"media": {"driver": "sip"}}, ["media.sip_uri"]),
        ({"media": {"driver": "relay"}}, ["media.stream_url"]),
        ({"media": {"driver": "sip", "sip_uri": "sip:a@other.example"}}, ["media.sip_uri"]),
        ({"media": {"driver": "audio_stream", "stream_url": "wss://ok.example/x"}}, ["media.driver"]),
        (
            {"media": {"driver": "audio_fork", "stream_url": "wss://ok.example/x", "stream_token": "t"}},
            ["media.driver", "media.stream_token"],
        ),
        (
            {"trunks": [{"name": "a", "gateway": "h", "inbound_ai_websocket_url": "wss://other.example/x"}]},
            ["trunks[0].inbound_ai_websocket_url"],
        ),
    ],
)
def test_what_an_organisation_may_not_say(body: dict[str, object], paths: list[str]) -> None:
    assert list(found(body, rules("fs1"))) == paths


@pytest.mark.parametrize(
    "media",
    [
        "relay",
        {"driver": "carrier pigeon"},
        {"stream_url": "http://h/"},
        {"sip_uri": "sip:h"},
        {"when_lost": "sing"},
        {"stream_token": "two words"},
        {"stream_headers": {"Bad Name": "x"}},
        {"stream_headers": {"X-A": "a\r\nb"}},
        {"stream_headers": {"Host": "evil.example"}},
        {"stream_headers": {"sec-websocket-key": "x"}},
        {"stream_headers": {"Authorization": "Bearer x"}},
    ],
)
def test_words_nobody_could_use_are_refused_by_their_path(media: object) -> None:
    from fscontrol.errors import InvalidDocument

    with pytest.raises(InvalidDocument) as refused:
        parse({"organization_id": 7, "media": media})
    assert all(problem.path.startswith("media") for problem in refused.value.problems)


def test_a_word_nobody_knows_is_told_to_its_sender() -> None:
    (warning,) = parse({"organization_id": 7, "trunks": [], "media": {"streem_url": "x"}}).warnings
    assert "streem_url" in warning


def test_a_lost_call_does_not_go_where_its_organisation_may_not_send_it() -> None:
    elsewhere = AssistantMedia(when_lost="transfer:sip:a@evil.example")
    choice = choose(RECORD, elsewhere, OURS)
    assert choice and choice.when_lost == WhenLost()


def test_its_secrets_survive_the_store_and_are_never_printed() -> None:
    media = AssistantMedia(
        stream_url="wss://h/x", stream_token=SecretStr("canary-1"), stream_headers={"X-Key": "v"}
    )
    organization = Organization(id=7, media=media)
    vault = Vault([Fernet.generate_key().decode()])
    sealed = seal_organization(organization, vault)
    assert "canary" not in sealed + repr(organization)
    opened = open_organization(sealed, vault)
    assert opened == organization
    assert opened.media.stream_token.get_secret_value() == "canary-1"


def test_what_one_vault_opened_is_not_given_to_one_without_its_key() -> None:
    """The last few organisations are kept open; a key that was taken away must not go on opening them."""
    mine, stranger = (Vault([Fernet.generate_key().decode()]) for _ in range(2))
    sealed = seal_organization(Organization(id=7), mine)
    assert open_organization(sealed, mine) is open_organization(sealed, mine)
    with pytest.raises(SecretUnreadable):
        open_organization(sealed, stranger)


def test_figures_of_one_stream_after_another() -> None:
    first, second = (
        MediaFigures(datagrams_in=3, high_water_ms=900),
        MediaFigures(datagrams_in=4, high_water_ms=20),
    )
    assert first.plus(second) == MediaFigures(datagrams_in=7, high_water_ms=900)


def test_commands_of_the_drivers() -> None:
    started = call_commands.start_module_stream("audio_stream", UUID, "wss://h/x?a=b", {"callSid": "sip-1"})
    assert started.text == f'api uuid_audio_stream {UUID} start wss://h/x?a=b mono 8k {{"callSid":"sip-1"}}'
    assert "wss" not in started.shown
    secret = call_commands.set_secret_variable(
        UUID, "STREAM_EXTRA_HEADERS", '{"Authorization":"Bearer canary"}'
    )
    assert "canary" in secret.text
    assert "canary" not in secret.shown + repr(secret)
    target = call_commands.through_profile(
        "external", "sip:a@h", {"X-Call-Sid": "sip-1", "X-Assistant-Id": "7"}
    )
    assert target == (
        "[outbound_redirect_fatal=true,sip_h_X-Call-Sid=sip-1,sip_h_X-Assistant-Id=7]sofia/external/sip:a@h"
    )


@pytest.mark.parametrize("url", ["wss://h/a b", "wss://h/'x'", "wss://h/\nx", "http://h/", 'wss://h/"'])
def test_a_url_that_would_change_a_command(url: str) -> None:
    with pytest.raises(UnsafeArgument):
        call_commands.start_module_stream("audio_stream", UUID, url, {})


@pytest.mark.parametrize(("name", "value"), [("X-A", "a,b"), ("X-A", "a]b"), ("X A", "b"), ("X-A", "${x}")])
def test_a_header_that_would_change_a_dial_string(name: str, value: str) -> None:
    with pytest.raises(UnsafeArgument):
        call_commands.through_profile("external", "sip:a@h", {name: value})


def test_an_unknown_driver_is_no_driver() -> None:
    with pytest.raises(ValidationError):
        AssistantMedia.model_validate({"driver": "pigeon"})
