"""Settings: every variable, what wins over what, every contradiction by name, and no secret shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from fscontrol.errors import ConfigurationError
from fscontrol.model.delivery import Delivery
from fscontrol.settings import Endpoint, NodeAddress, Settings, load, require_safe

SAFE = {"SIP_BRIDGE_API_KEY": "a-long-random-key-of-tests", "FSCONTROL_ESL_PASSWORD": "esl-of-tests"}
OVER_HTTP = {"FSCONTROL_DELIVERY": "xml_curl", "FSCONTROL_XML_CURL_PASSWORD": "a-password-of-16"}
OVER_TLS = {**OVER_HTTP, "FSCONTROL_XML_CURL_URL": "https://c.example.com/freeswitch/xml"}
CANARY = "canary-9f2c71"

# variable, value, field, what the field becomes
READ: list[tuple[str, str, str, object]] = [
    ("SIP_BRIDGE_API_KEY", "k", "api_key", SecretStr("k")),
    ("FSCONTROL_JWT_SECRET", "s" * 32, "jwt_secret", SecretStr("s" * 32)),
    ("FSCONTROL_JWT_JWKS_FILE", "k/jwks.json", "jwt_jwks_file", Path("k/jwks.json")),
    ("FSCONTROL_JWT_AUDIENCE", "fscontrol", "jwt_audience", "fscontrol"),
    ("FSCONTROL_JWT_ISSUER", "https://id.example.com", "jwt_issuer", "https://id.example.com"),
    ("FSCONTROL_SESSION_SECONDS", "600", "session_seconds", 600.0),
    ("FSCONTROL_HTTP", "0.0.0.0:80", "http", Endpoint(host="0.0.0.0", port=80)),  # noqa: S104
    ("FSCONTROL_CALL_SOCKET", "[::1]:8085", "call_socket", Endpoint(host="::1", port=8085)),
    (
        "FSCONTROL_NODES",
        " a=10.0.0.1:8022 , b_2=[2001:db8::1]:1, c=fs.example.com ",
        "nodes",
        (
            NodeAddress(name="a", host="10.0.0.1", port=8022),
            NodeAddress(name="b_2", host="2001:db8::1", port=1),
            NodeAddress(name="c", host="fs.example.com", port=8021),
        ),
    ),
    ("FSCONTROL_ESL_PASSWORD", " p ", "esl_password", SecretStr(" p ")),
    ("FSCONTROL_RATE_LIMIT", " 600 per Minute ", "rate_limit", "600/minute"),
    ("FSCONTROL_RATE_LIMIT_WRONG_KEYS", "9/hour", "rate_limit_wrong_keys", "9/hour"),
    ("FSCONTROL_RATE_LIMIT_WRITES", "off", "rate_limit_writes", "off"),
    ("FSCONTROL_STORE_URL", "redis://127.0.0.1/1", "store_url", "redis://127.0.0.1/1"),
    ("FSCONTROL_CONFIG_DIR", "x/y", "config_dir", Path("x/y")),
    (
        "FSCONTROL_DELIVERY",
        "fs2=files, xml_curl",
        "delivery",
        (("", Delivery.XML_CURL), ("fs2", Delivery.FILES)),
    ),
    ("FSCONTROL_XML_CURL_URL", "https://c.example.com/x/", "xml_curl_url", "https://c.example.com/x"),
    ("FSCONTROL_XML_CURL_PASSWORD", "xp", "xml_curl_password", SecretStr("xp")),
    ("FSCONTROL_XML_CURL_CA", "/etc/ca.pem", "xml_curl_ca", "/etc/ca.pem"),
    ("FSCONTROL_XML_CURL_CERT", "/etc/c.pem", "xml_curl_cert", "/etc/c.pem"),
    ("FSCONTROL_XML_CURL_KEY", "/etc/k.pem", "xml_curl_key", "/etc/k.pem"),
    ("FSCONTROL_BACKEND_URL", "https://b.example.com/", "backend_url", "https://b.example.com"),
    ("FSCONTROL_STREAM_URL", "wss://b/{call_sid}", "stream_url", "wss://b/{call_sid}"),
    ("FSCONTROL_MEDIA_DRIVER", "audio_stream", "media_driver", "audio_stream"),
    ("FSCONTROL_ASSISTANT_SIP_URI", "sip:{assistant_id}@h", "assistant_sip_uri", "sip:{assistant_id}@h"),
    (
        "FSCONTROL_ASSISTANT_HOSTS",
        "Ai.example, *.b.example",
        "assistant_hosts",
        ("ai.example", "*.b.example"),
    ),
    ("FSCONTROL_WHEN_ASSISTANT_LOST", "play:sorry.wav", "when_assistant_lost", "play:sorry.wav"),
    (
        "FSCONTROL_TRUSTED_PROXIES",
        "10.0.0.1, 192.0.2.0/24",
        "trusted_proxies",
        ("10.0.0.1", "192.0.2.0/24"),
    ),
    ("FSCONTROL_AUDIT_DAYS", "30", "audit_days", 30),
    ("FSCONTROL_BACKEND_KEY", "bk", "backend_key", SecretStr("bk")),
    ("FSCONTROL_BACKEND_SECRET", "bs", "backend_secret", SecretStr("bs")),
    ("FSCONTROL_BACKEND_TIMEOUT_SECONDS", "3", "backend_timeout_seconds", 3.0),
    ("FSCONTROL_OUTBOX_MAX_AGE_SECONDS", "60", "outbox_max_age_seconds", 60.0),
    ("FSCONTROL_ALARM_WEBHOOK_URL", "https://a.example/x/", "alarm_webhook_url", "https://a.example/x/"),
    ("FSCONTROL_ALARM_WEBHOOK_SECRET", "as", "alarm_webhook_secret", SecretStr("as")),
    ("FSCONTROL_ALARM_DEBOUNCE_SECONDS", "1.5", "alarm_debounce_seconds", 1.5),
    ("FSCONTROL_ALARM_FLAPS", "3", "alarm_flaps", 3),
    ("FSCONTROL_ALARM_FLAP_WINDOW_SECONDS", "60", "alarm_flap_window_seconds", 60.0),
    ("FSCONTROL_ALARM_SYNC_SECONDS", "9", "alarm_sync_seconds", 9.0),
    ("FSCONTROL_ALARM_OUTBOX_SECONDS", "8", "alarm_outbox_seconds", 8.0),
    ("FSCONTROL_PREWARM_TIMEOUT_SECONDS", "1", "prewarm_timeout_seconds", 1.0),
    ("FSCONTROL_PREWARM_POLICY", "reject", "prewarm_policy", "reject"),
    ("FSCONTROL_MASK_NUMBERS", "true", "mask_numbers", True),
    ("FSCONTROL_CALLS_KEPT_DAYS", "5", "calls_kept_days", 5),
    ("FSCONTROL_SECRET_KEY", "k1,k2", "secret_key", SecretStr("k1,k2")),
    ("FSCONTROL_APPLY_TIMEOUT_SECONDS", "0.5", "apply_timeout_seconds", 0.5),
    ("FSCONTROL_RECONCILE_SECONDS", "7", "reconcile_seconds", 7.0),
    ("FSCONTROL_REGISTER_SECONDS", "3", "register_seconds", 3.0),
    ("FSCONTROL_MOST_REMOVED_SHARE", "0.25", "most_removed_share", 0.25),
    ("FSCONTROL_REGISTER_ON", "one", "register_on", "one"),
    ("FSCONTROL_NODE_LOST_SECONDS", "60", "node_lost_seconds", 60.0),
    ("FSCONTROL_BATCH_GATEWAYS", "50", "batch_gateways", 50),
    ("FSCONTROL_LEASE_SECONDS", "3", "lease_seconds", 3.0),
    ("FSCONTROL_ESL_TIMEOUT_SECONDS", "1.5", "esl_timeout_seconds", 1.5),
    ("FSCONTROL_DECISION_TIMEOUT_SECONDS", "2", "decision_timeout_seconds", 2.0),
    ("FSCONTROL_MAX_CALLS_DECIDING", "3", "max_calls_deciding", 3),
    ("FSCONTROL_WORKERS", "2", "workers", 2),
    ("FSCONTROL_MAX_BODY_BYTES", "2048", "max_body_bytes", 2048),
    ("FSCONTROL_CALLS_KEPT", "4", "calls_kept", 4),
    ("FSCONTROL_LOG_FORMAT", "json", "log_format", "json"),
    ("FSCONTROL_LOG_LEVEL", "DEBUG", "log_level", "DEBUG"),
    ("FSCONTROL_OTLP_ENDPOINT", "http://c:4318", "otlp_endpoint", "http://c:4318"),
    ("FSCONTROL_STREAM_KEY", "sk", "stream_key", SecretStr("sk")),
    ("FSCONTROL_STREAM_OPEN_SECONDS", "2", "stream_open_seconds", 2.0),
    ("FSCONTROL_STREAM_FIRST_AUDIO_SECONDS", "9", "stream_first_audio_seconds", 9.0),
    ("FSCONTROL_STREAM_IDLE_SECONDS", "8", "stream_idle_seconds", 8.0),
    ("FSCONTROL_CALLER_WALL", "off", "caller_wall", "off"),
    ("FSCONTROL_GATEWAY_NETWORKS", "127.0.0.0/8, ::1", "gateway_networks", ("127.0.0.0/8", "::1")),
    ("FSCONTROL_APPLY_EDITS", "at_sync", "apply_edits", "at_sync"),
    ("FSCONTROL_RECORDINGS_DIR", "r/s", "recordings_dir", Path("r/s")),
    ("FSCONTROL_MEDIA_DIR", "m/n", "media_dir", Path("m/n")),
    ("FSCONTROL_ALLOW_PRIVATE_URLS", "true", "allow_private_urls", True),
    ("FSCONTROL_FETCH_TIMEOUT_SECONDS", "4", "fetch_timeout_seconds", 4.0),
    ("FSCONTROL_RULE_TIMEOUT_SECONDS", "1", "rule_timeout_seconds", 1.0),
    ("FSCONTROL_TRANSFER_RING_SECONDS", "11", "transfer_ring_seconds", 11),
    ("FSCONTROL_OUTBOUND_RING_SECONDS", "33", "outbound_ring_seconds", 33),
    ("FSCONTROL_OUTBOUND_PROGRESS_SECONDS", "7", "outbound_progress_seconds", 7),
    ("FSCONTROL_BREAKER", "off", "breaker", "off"),
    ("FSCONTROL_BREAKER_FAILURES", "3", "breaker_failures", 3),
    ("FSCONTROL_BREAKER_WINDOW", "50", "breaker_window", 50),
    ("FSCONTROL_BREAKER_LEAST_RATIO", "0.5", "breaker_least_ratio", 0.5),
    ("FSCONTROL_BREAKER_PAUSE_SECONDS", "10", "breaker_pause_seconds", 10.0),
    ("FSCONTROL_BREAKER_LONGEST_PAUSE_SECONDS", "60", "breaker_longest_pause_seconds", 60.0),
    ("FSCONTROL_BREAKER_PROBE_SECONDS", "90", "breaker_probe_seconds", 90.0),
    ("FSCONTROL_OUTBOUND_QUEUE_SECONDS", "2.5", "outbound_queue_seconds", 2.5),
    ("FSCONTROL_OUTBOUND_QUEUE_LENGTH", "50", "outbound_queue_length", 50),
    ("FSCONTROL_SIP_IP", "10.0.0.9", "sip_ip", "10.0.0.9"),
    ("FSCONTROL_SIP_PORT", "5070", "sip_port", 5070),
    ("FSCONTROL_TLS_PORT", "5061", "tls_port", 5061),
    ("FSCONTROL_RTP_PORTS", " 20000 - 30000 ", "rtp_ports", (20_000, 30_000)),
    ("FSCONTROL_EXTERNAL_IP", "192.0.2.1", "external_ip", "192.0.2.1"),
    ("FSCONTROL_ESL_ALLOW", "10.0.0.0/8, 192.0.2.7", "esl_allow", ("10.0.0.0/8", "192.0.2.7")),
    ("FSCONTROL_ESL_LISTEN", "0.0.0.0:8021", "esl_listen", Endpoint(host="0.0.0.0", port=8021)),  # noqa: S104
    (
        "FSCONTROL_CALL_SOCKETS",
        "192.0.2.7:8084, [::1]:8085",
        "call_sockets",
        (Endpoint(host="192.0.2.7", port=8084), Endpoint(host="::1", port=8085)),
    ),
]


def test_the_table_has_every_variable() -> None:
    assert {row[0] for row in READ} == {field.alias for field in Settings.model_fields.values()}


@pytest.mark.parametrize(("variable", "value", "field", "expected"), READ, ids=[row[0] for row in READ])
def test_a_variable_is_read(variable: str, value: str, field: str, expected: object) -> None:
    assert getattr(load({variable: value}, None), field) == expected
    assert getattr(load({}, None), field) != expected


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FSCONTROL_JWT_SECRET", "s" * 31),
        ("FSCONTROL_HTTP", "127.0.0.1"),
        ("FSCONTROL_HTTP", ":8080"),
        ("FSCONTROL_HTTP", "127.0.0.1:0"),
        ("FSCONTROL_HTTP", "127.0.0.1:65536"),
        ("FSCONTROL_HTTP", "127.0.0.1:00000199999"),
        ("FSCONTROL_HTTP", "http://127.0.0.1:80"),
        ("FSCONTROL_CALL_SOCKET", "256.1.1.1:80"),
        ("FSCONTROL_NODES", ","),
        ("FSCONTROL_NODES", "127.0.0.1:8021"),
        ("FSCONTROL_NODES", "a=x,a=y"),
        ("FSCONTROL_NODES", "-a=x"),
        ("FSCONTROL_NODES", "a b=x"),
        ("FSCONTROL_NODES", "=x"),
        ("FSCONTROL_NODES", "a="),
        ("FSCONTROL_CONFIG_DIR", "x/{name}"),
        ("FSCONTROL_CONFIG_DIR", "x/{node"),
        ("FSCONTROL_REGISTER_ON", "two"),
        ("FSCONTROL_NODE_LOST_SECONDS", "4"),
        ("FSCONTROL_BATCH_GATEWAYS", "0"),
        ("FSCONTROL_STORE_URL", "postgres://x"),
        ("FSCONTROL_STORE_URL", "sqlite://x"),
        ("FSCONTROL_STORE_URL", "sqlite:///"),
        ("FSCONTROL_DELIVERY", "http"),
        ("FSCONTROL_DELIVERY", "FILES"),
        ("FSCONTROL_DELIVERY", "fs1=xml_curl,fs1=files"),
        ("FSCONTROL_DELIVERY", "files,xml_curl"),
        ("FSCONTROL_DELIVERY", "=files"),
        ("FSCONTROL_DELIVERY", "fs1="),
        ("FSCONTROL_DELIVERY", ","),
        ("FSCONTROL_XML_CURL_URL", "file:///etc/passwd"),
        ("FSCONTROL_XML_CURL_PASSWORD", "with space"),
        ("FSCONTROL_BACKEND_URL", "ftp://x"),
        ("FSCONTROL_BACKEND_URL", "x"),
        ("FSCONTROL_BACKEND_URL", "http://"),
        ("FSCONTROL_STREAM_URL", "https://x"),
        ("FSCONTROL_APPLY_TIMEOUT_SECONDS", "0"),
        ("FSCONTROL_APPLY_TIMEOUT_SECONDS", "301"),
        ("FSCONTROL_REGISTER_SECONDS", "0"),
        ("FSCONTROL_MOST_REMOVED_SHARE", "1.1"),
        ("FSCONTROL_MOST_REMOVED_SHARE", "-0.1"),
        ("FSCONTROL_RECONCILE_SECONDS", "soon"),
        ("FSCONTROL_RECONCILE_SECONDS", "nan"),
        ("FSCONTROL_ESL_TIMEOUT_SECONDS", "-1"),
        ("FSCONTROL_ESL_TIMEOUT_SECONDS", "inf"),
        ("FSCONTROL_DECISION_TIMEOUT_SECONDS", "61"),
        ("FSCONTROL_MAX_CALLS_DECIDING", "0"),
        ("FSCONTROL_WORKERS", "0"),
        ("FSCONTROL_MAX_CALLS_DECIDING", "1.5"),
        ("FSCONTROL_MAX_BODY_BYTES", "1023"),
        ("FSCONTROL_CALLS_KEPT", "0"),
        ("FSCONTROL_LOG_FORMAT", "xml"),
        ("FSCONTROL_LOG_LEVEL", "debug"),
        ("FSCONTROL_SIP_IP", "sip.example.com"),
        ("FSCONTROL_SIP_IP", "stun:x"),
        ("FSCONTROL_SIP_PORT", "0"),
        ("FSCONTROL_SIP_PORT", "65536"),
        ("FSCONTROL_TLS_PORT", "-1"),
        ("FSCONTROL_RTP_PORTS", "10000"),
        ("FSCONTROL_RTP_PORTS", "20000-10000"),
        ("FSCONTROL_RTP_PORTS", "1023-2000"),
        ("FSCONTROL_RTP_PORTS", "2000-65536"),
        ("FSCONTROL_RTP_PORTS", "²-3"),
        ("FSCONTROL_ESL_ALLOW", "10.0.0.0/33"),
        ("FSCONTROL_ESL_ALLOW", "everyone"),
        ("FSCONTROL_CALL_SOCKETS", "127.0.0.1:8084,nowhere"),
        ("FSCONTROL_ESL_LISTEN", "127.0.0.1"),
        ("FSCONTROL_X", "1"),
        ("FSCONTROL_API_KEY", "1"),
        ("FSCONTROL_", "1"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load({variable: value}, None)
    assert len(refusal.value.problems) == 1
    assert refusal.value.problems[0].startswith(variable + " ")


def test_every_bad_variable_is_named_at_once() -> None:
    bad = {"FSCONTROL_HTTP": "x", "FSCONTROL_SIP_PORT": "x", "FSCONTROL_X": "1", "FSCONTROL_NODES": "x"}
    with pytest.raises(ConfigurationError) as refusal:
        load(bad, None)
    assert {problem.split()[0] for problem in refusal.value.problems} == set(bad)


@pytest.mark.parametrize("name", ["PATH", "REDIS_URL", "FSCTL_X", "fscontrol_x", "XFSCONTROL_HTTP"])
def test_other_programs_variables_are_left_alone(name: str) -> None:
    assert load({name: "x"}, None) == load({}, None)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("FSCONTROL_SIP_PORT=5070\nFSCONTROL_TLS_PORT=5071\nOTHER=x\n")
    settings = load({"FSCONTROL_SIP_PORT": "5080"}, file)
    assert (settings.sip_port, settings.tls_port) == (5080, 5071)


def test_an_empty_variable_is_the_default_and_hides_the_files(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("FSCONTROL_SIP_PORT=5070\n")
    assert load({"FSCONTROL_SIP_PORT": ""}, file).sip_port == 5060


def test_a_typing_error_in_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("FSCONTROL_SIP_PROT=5070\n")
    with pytest.raises(ConfigurationError, match="FSCONTROL_SIP_PROT"):
        load({}, file)


def test_a_missing_file_is_no_error(tmp_path: Path) -> None:
    assert load({}, tmp_path / ".env") == load({}, None)


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSCONTROL_SIP_PORT", "5099")
    assert load(env_file=None).sip_port == 5099


def test_safe_settings_are_safe() -> None:
    require_safe(load(SAFE, None))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"SIP_BRIDGE_API_KEY": ""}, "SIP_BRIDGE_API_KEY is not set"),
        ({"SIP_BRIDGE_API_KEY": "short", "FSCONTROL_HTTP": "0.0.0.0:80"}, "SIP_BRIDGE_API_KEY is shorter"),
        ({"FSCONTROL_ESL_PASSWORD": ""}, "FSCONTROL_ESL_PASSWORD is not set"),
        ({"FSCONTROL_JWT_AUDIENCE": "x"}, "FSCONTROL_JWT_AUDIENCE and FSCONTROL_JWT_ISSUER need"),
        ({"FSCONTROL_HTTP": "127.0.0.1:8084"}, "FSCONTROL_HTTP and FSCONTROL_CALL_SOCKET"),
        ({"FSCONTROL_EXTERNAL_IP": "stun:stun.example.com"}, "FSCONTROL_EXTERNAL_IP"),
        ({"FSCONTROL_EXTERNAL_IP": "host.example.com"}, "FSCONTROL_EXTERNAL_IP"),
        ({"FSCONTROL_STORE_URL": "redis://127.0.0.1"}, "FSCONTROL_SECRET_KEY is not set"),
        ({"FSCONTROL_STORE_URL": "rediss://127.0.0.1"}, "FSCONTROL_SECRET_KEY is not set"),
        ({"FSCONTROL_DELIVERY": "fs9=files"}, "FSCONTROL_DELIVERY names 'fs9'"),
        ({"FSCONTROL_DELIVERY": "xml_curl"}, "FSCONTROL_XML_CURL_PASSWORD needs at least 16"),
        (
            {**OVER_HTTP, "FSCONTROL_XML_CURL_PASSWORD": "only-15-letters"},
            "FSCONTROL_XML_CURL_PASSWORD needs",
        ),
        ({**OVER_HTTP, "FSCONTROL_HTTP": "0.0.0.0:80"}, "FSCONTROL_XML_CURL_URL is not set"),
        ({**OVER_TLS, "FSCONTROL_XML_CURL_CERT": "/c"}, "FSCONTROL_XML_CURL_CERT and FSCONTROL_XML_CURL_KEY"),
        ({**OVER_TLS, "FSCONTROL_XML_CURL_KEY": "/k"}, "FSCONTROL_XML_CURL_CERT and FSCONTROL_XML_CURL_KEY"),
        ({**OVER_HTTP, "FSCONTROL_XML_CURL_CA": "/ca"}, "FSCONTROL_XML_CURL_URL must be https://"),
    ],
)
def test_a_contradiction_is_named(changes: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        require_safe(load({**SAFE, **changes}, None))
    assert len(refusal.value.problems) == 1
    assert refusal.value.problems[0].startswith(named)


def test_all_contradictions_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        require_safe(
            load(
                {
                    "FSCONTROL_HTTP": "127.0.0.1:8084",
                    "FSCONTROL_EXTERNAL_IP": "x",
                    "FSCONTROL_STORE_URL": "redis://127.0.0.1",
                },
                None,
            )
        )
    assert len(refusal.value.problems) == 5


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FSCONTROL_HTTP", "0.0.0.0:8080"),
        ("FSCONTROL_HTTP", "[::]:8080"),
        ("FSCONTROL_CALL_SOCKET", "10.0.0.1:8084"),
        ("FSCONTROL_NODES", "a=127.0.0.1:8021,b=10.0.0.1:8021"),
        ("FSCONTROL_NODES", "a=fs.example.com:8021"),
        ("FSCONTROL_NODES", "a=localhost.example.com"),
        ("FSCONTROL_ESL_LISTEN", "0.0.0.0:8021"),
    ],
)
def test_the_public_password_is_refused_off_loopback(variable: str, value: str) -> None:
    settings = load({**SAFE, "FSCONTROL_ESL_PASSWORD": "ClueCon", variable: value}, None)
    (problem,) = settings.contradictions()
    assert problem.startswith("FSCONTROL_ESL_PASSWORD is FreeSWITCH's public default")
    assert variable in problem


@pytest.mark.parametrize(
    "node", ["127.0.0.1:8021", "127.9.9.9:8021", "[::1]:8021", "localhost:8021", "LOCALHOST"]
)
def test_the_public_password_is_taken_on_loopback(node: str) -> None:
    assert (
        load(
            {**SAFE, "FSCONTROL_ESL_PASSWORD": "ClueCon", "FSCONTROL_NODES": f"a={node}"}, None
        ).contradictions()
        == []
    )


@pytest.mark.parametrize("more", [{}, {"FSCONTROL_XML_CURL_CERT": "/c", "FSCONTROL_XML_CURL_KEY": "/k"}])
def test_a_node_may_ask_over_http(more: dict[str, str]) -> None:
    nodes = {"FSCONTROL_NODES": "a=127.0.0.1,b=127.0.0.2", "FSCONTROL_DELIVERY": "b=xml_curl"}
    settings = load({**SAFE, **OVER_TLS, **nodes, **more}, None)
    require_safe(settings)
    assert settings.xml_curl_nodes == ("b",)
    assert settings.delivery_of("a") is Delivery.FILES


def test_a_node_asks_where_the_api_listens_unless_told_otherwise() -> None:
    assert load(OVER_HTTP, None).xml_curl_address == "http://127.0.0.1:8080/freeswitch/xml"
    assert load(OVER_TLS, None).xml_curl_address == "https://c.example.com/freeswitch/xml"


def test_secrets_are_never_shown() -> None:
    given = {
        "SIP_BRIDGE_API_KEY": CANARY,
        "FSCONTROL_ESL_PASSWORD": CANARY,
        "FSCONTROL_SECRET_KEY": CANARY,
        "FSCONTROL_BACKEND_KEY": CANARY,
        "FSCONTROL_BACKEND_SECRET": CANARY,
        "FSCONTROL_JWT_SECRET": CANARY * 3,
        "FSCONTROL_XML_CURL_PASSWORD": CANARY,
        "FSCONTROL_XML_CURL_URL": f"https://u:{CANARY}@c.example.com",
        "FSCONTROL_DELIVERY": "xml_curl",
        "FSCONTROL_STORE_URL": f"redis://:{CANARY}@127.0.0.1/0",
        "FSCONTROL_BACKEND_URL": f"https://u:{CANARY}@b.example.com",
        "FSCONTROL_STREAM_URL": f"wss://b.example.com/?token={CANARY}",
        "FSCONTROL_HTTP": "0.0.0.0:8084",
        "FSCONTROL_CALL_SOCKET": "0.0.0.0:8084",
        "FSCONTROL_EXTERNAL_IP": "x",
    }
    settings = load(given, None)
    assert settings.contradictions()
    for shown in (repr(settings), str(settings), f"{settings}", *settings.contradictions()):
        assert CANARY not in shown


@pytest.mark.parametrize("variable", ["FSCONTROL_STORE_URL", "FSCONTROL_BACKEND_URL", "FSCONTROL_STREAM_URL"])
def test_a_refused_url_is_not_repeated(variable: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load({variable: f"gopher://:{CANARY}@x", "SIP_BRIDGE_API_KEY": CANARY}, None)
    assert CANARY not in str(refusal.value) + repr(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(Exception, match="frozen"):
        load({}, None).sip_port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("endpoint", "text", "loopback"),
    [
        (Endpoint(host="127.0.0.1", port=1), "127.0.0.1:1", True),
        (Endpoint(host="::1", port=1), "[::1]:1", True),
        (Endpoint(host="localhost", port=1), "localhost:1", True),
        (Endpoint(host="10.0.0.1", port=1), "10.0.0.1:1", False),
        (Endpoint(host="0.0.0.0", port=1), "0.0.0.0:1", False),  # noqa: S104
        (Endpoint(host="example.com", port=1), "example.com:1", False),
    ],
)
def test_endpoint(endpoint: Endpoint, text: str, loopback: bool) -> None:
    assert (str(endpoint), endpoint.is_loopback) == (text, loopback)


def test_one_node_for_each_trunk_needs_a_tree_for_each_node() -> None:
    both = {**SAFE, "FSCONTROL_NODES": "fs1=127.0.0.1,fs2=127.0.0.2", "FSCONTROL_REGISTER_ON": "one"}
    shared = load(both, None)
    (problem,) = shared.contradictions()
    assert "FSCONTROL_CONFIG_DIR" in problem
    assert "var/freeswitch/{node}" in problem
    own = load({**both, "FSCONTROL_CONFIG_DIR": "/etc/fs/{node}/conf"}, None)
    require_safe(own)
    assert (own.registers_on_one, own.config_dir_of("fs2")) == (True, Path("/etc/fs/fs2/conf"))
    alone = load({**SAFE, "FSCONTROL_REGISTER_ON": "one"}, None)
    require_safe(alone)
    assert (alone.registers_on_one, alone.config_dir_of("fs1")) == (False, Path("var/freeswitch"))
