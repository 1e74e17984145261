"""Every command this project sends to FreeSWITCH, as a value. All escaping for the Event Socket lives here.

Owns: the text of commands. Refuses (`UnsafeArgument`): line ends and NUL anywhere, because a line end starts a new
header or command; `${` in application arguments, because FreeSWITCH expands variables *and* API calls there; names
that sofia would read as something else (`all`, `_all_`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from fscontrol.errors import UnsafeArgument

_GATEWAY_NAME = re.compile(r"[\w.\-]{1,120}", re.ASCII)
PROFILE_NAME = re.compile(r"[A-Za-z0-9_\-]{1,64}")
UUID = re.compile(r"[0-9A-Fa-f\-]{8,64}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,63}")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_.+@:\-]*")
_API_NAME = re.compile(r"[a-z_0-9]{1,64}")
DIAL_NUMBER = re.compile(r"\+?[0-9]{1,32}")
_FILE_NAME = re.compile(r"[a-z_.]{1,64}")
_IP = re.compile(r"[0-9A-Fa-f.:]{2,45}")
_NO_TEXT = re.compile("[\ud800-\udfff]")
_LONGEST_IN_A_HEADER = 40
"""FreeSWITCH reads a command byte by byte and lets other threads run after each, but a body at once (run)."""
_HOST = re.compile(r"[A-Za-z0-9.\-]{1,253}|\[[0-9A-Fa-f:]{2,45}\]")


@dataclass(frozen=True, slots=True)
class Command:
    """One command, ready to be sent. Printing one never shows what it keeps secret."""

    text: str = field(repr=False)
    shown: str = ""
    body: str = field(default="", repr=False)
    """A line that follows the command; its length is told with it."""

    def __post_init__(self) -> None:
        if not self.shown:
            object.__setattr__(self, "shown", self.text)
        if "\n\n" in self.text or "\r" in self.text or "\0" in self.text or not self.text:
            raise UnsafeArgument("a command must be lines without CR, NUL or an empty line")
        if _NO_TEXT.search(self.text) or _NO_TEXT.search(self.body):
            # Found here and not while sending: by then a waiter would stand in the queue for a reply that never comes.
            raise UnsafeArgument("a command must be text that UTF-8 can carry")
        one_line(self.body, "a command's body")

    def encode(self) -> bytes:
        """The bytes to send, the ending empty line included."""
        if not self.body:
            return self.text.encode() + b"\n\n"
        body = self.body.encode()
        return self.text.encode() + b"\ncontent-length: %d\n\n%b" % (len(body), body)


def one_line(value: str, what: str) -> str:
    """`value` if it stays within one line; raises `UnsafeArgument` naming `what` otherwise."""
    if "\r" in value or "\n" in value or "\0" in value:
        raise UnsafeArgument(f"{what} contains a line end or NUL")
    return value


def matching(pattern: re.Pattern[str], value: str, what: str) -> str:
    if not pattern.fullmatch(value):
        raise UnsafeArgument(f"not a {what}: {value[:80]!r}")
    return value


def gateway_name(name: str) -> str:
    """A name sofia takes for one gateway. `all` and `_all_` are its words for every gateway."""
    if name.lower() in ("all", "_all_"):
        raise UnsafeArgument("a gateway may not be called 'all' or '_all_'")
    return matching(_GATEWAY_NAME, name, "gateway name")


def auth(password: SecretStr) -> Command:
    """Authenticate on a new connection."""
    return Command(f"auth {one_line(password.get_secret_value(), 'the ESL password')}", shown="auth ***")


def api(name: str, arguments: str = "") -> Command:
    """A blocking API command; its answer is an `api/response`."""
    text = f"api {matching(_API_NAME, name, 'API command')} {one_line(arguments, 'an API argument')}"
    return Command(text.rstrip(" "))


def bgapi(name: str, arguments: str, job_uuid: str) -> Command:
    """The same in the background; the result comes as BACKGROUND_JOB with the Job-UUID given."""
    line = f"bgapi {matching(_API_NAME, name, 'API command')} {one_line(arguments, 'an API argument')}"
    return Command(f"{line.rstrip(' ')}\nJob-UUID: {matching(UUID, job_uuid, 'UUID')}")


def start_gateway(profile: str, name: str) -> Command:
    """Reload the XML and load this one gateway. Answers +OK for a name that does not exist: verify."""
    profile = matching(PROFILE_NAME, profile, "profile name")
    return api("sofia", f"profile {profile} startgw {gateway_name(name)}")


def start_new_gateways(profile: str) -> Command:
    """Reload the XML once and load every gateway in it that is not loaded. Loaded ones are not touched."""
    return api("sofia", f"profile {matching(PROFILE_NAME, profile, 'profile name')} startgw _all_")


def kill_gateway(profile: str, name: str) -> Command:
    """Mark one gateway for deletion; a worker removes it within a second or two."""
    profile = matching(PROFILE_NAME, profile, "profile name")
    return api("sofia", f"profile {profile} killgw {gateway_name(name)}")


def register_gateway(profile: str, name: str) -> Command:
    """Have one gateway register now. Never for one with register=false: mod_sofia refuses, and leaks a lock on it."""
    profile = matching(PROFILE_NAME, profile, "profile name")
    return api("sofia", f"profile {profile} register {gateway_name(name)}")


def all_gateways() -> Command:
    """The state of every gateway of the node, as XML."""
    return api("sofia", "xmlstatus gateway")


def gateway_names(profile: str, *, up: bool) -> Command:
    """The names of a profile's gateways that are UP, or DOWN, those marked for deletion included; nothing for none."""
    which = "up" if up else "down"
    return api("sofia", f"profile {matching(PROFILE_NAME, profile, 'profile name')} gwlist {which}")


def one_gateway(name: str) -> Command:
    """The state of one gateway, as XML, or `Invalid Gateway!`."""
    return api("sofia", f"xmlstatus gateway {gateway_name(name)}")


def show_channels() -> Command:
    """All channels of the node, as JSON."""
    return api("show", "channels as json")


def channel_exists(uuid: str) -> Command:
    """`true` or `false`, from the channels themselves."""
    return api("uuid_exists", matching(UUID, uuid, "UUID"))


def module_exists(module: str) -> Command:
    """`true` or `false`."""
    return api("module_exists", matching(_VARIABLE_NAME, module, "module name"))


def reload_acl() -> Command:
    """Reload the XML and rebuild every network list, under a lock that each INVITE waits for: only after a change."""
    return api("reloadacl")


def reload_xml() -> Command:
    """Read the configuration tree again; `+OK [Success]` when it parsed, the old one stays otherwise."""
    return api("reloadxml")


def set_global(name: str, value: str) -> Command:
    """Set a global variable, which `$${name}` in the tree and every channel see; empty: take it away."""
    return api(
        "global_setvar",
        f"{matching(_VARIABLE_NAME, name, 'variable name')}={matching(_PLAIN_VALUE, value, 'variable value')}",
    )


def locate_configuration(name: str) -> Command:
    """The `<configuration>` of that name as FreeSWITCH finds it, asking over HTTP too, or `can't find anything`."""
    return api(
        "xml_locate", f"configuration configuration name {matching(_FILE_NAME, name, 'configuration')}"
    )


def is_in_acl(address: str, name: str) -> Command:
    """`true` or `false`: whether a network list lets this literal address through."""
    return api(
        "acl",
        f"{matching(_IP, address, 'literal address')} {matching(_VARIABLE_NAME, name, 'network list')}",
    )


def set_global_variable(name: str, value: str) -> Command:
    """Set a variable of the whole node; it stays until FreeSWITCH ends."""
    pair = f"{matching(_VARIABLE_NAME, name, 'variable name')}={matching(_PLAIN_VALUE, value, 'plain value')}"
    return api("global_setvar", pair)


def get_global_variable(name: str) -> Command:
    """A variable of the whole node; the answer is empty when there is none."""
    return api("global_getvar", matching(_VARIABLE_NAME, name, "variable name"))


def profile_status(profile: str) -> Command:
    """One sofia profile, as XML, or `Invalid Profile!`."""
    return api("sofia", f"xmlstatus profile {matching(PROFILE_NAME, profile, 'profile name')}")


NO_REDIRECT = "outbound_redirect_fatal"
"""True on every leg of ours: else FreeSWITCH follows a carrier's 302 to any number at any host, and answers a challenge
there with the trunk's credentials (sofia.c)."""


def originate_to_profile(
    uuid: str, profile: str, *, number: str, host: str, port: int, caller: str, tone_ms: int = 0
) -> Command:
    """Place one call through a profile to `number@host:port`: the sample call of `fscontrol demo`.

    Our end says a tone for `tone_ms` milliseconds and hangs up, or (0) is parked.
    """
    variables = originate_variables(
        {"origination_uuid": uuid, "origination_caller_id_number": caller, NO_REDIRECT: "true"}
    )
    said = f"playback(tone_stream://%({int(tone_ms)},0,440))" if tone_ms else "park()"
    target = f"{matching(DIAL_NUMBER, number, 'dialled number')}@{matching(_HOST, host, 'host')}:{port}"
    return bgapi(
        "originate", f"{variables}sofia/{matching(PROFILE_NAME, profile, 'profile')}/{target} &{said}", uuid
    )


def originate_variables(variables: Mapping[str, str]) -> str:
    """The `{name=value,…}` of an originate string. Values outside a safe alphabet are refused, not escaped."""
    parts = [
        f"{matching(_VARIABLE_NAME, name, 'variable name')}={matching(_PLAIN_VALUE, value, 'variable value')}"
        for name, value in variables.items()
    ]
    return "{" + ",".join(parts) + "}"


def unicast(uuid: str, *, local_ip: str, remote_ip: str, remote_port: int) -> Command:
    """Send a parked call's audio to `remote_ip:remote_port` and play what comes back; FreeSWITCH takes a free port."""
    lines = (
        f"sendmsg {matching(UUID, uuid, 'UUID')}",
        "call-command: unicast",
        f"local-ip: {matching(_IP, local_ip, 'IP address')}",
        "local-port: 0",
        f"remote-ip: {matching(_IP, remote_ip, 'IP address')}",
        f"remote-port: {remote_port}",
        "transport: udp",
    )
    return Command("\n".join(lines))


def park_again(uuid: str) -> Command:
    """Send an answered call to the parking extension anew; whatever it was doing there ends, its stream too.

    In the background: of a call that is on hold it is not answered for half a minute (run).
    """
    return bgapi("uuid_transfer", f"{matching(UUID, uuid, 'UUID')} park XML fscontrol", uuid)


def kill_channel(uuid: str, cause: str = "NORMAL_CLEARING") -> Command:
    """Hang up one channel."""
    return api("uuid_kill", f"{matching(UUID, uuid, 'UUID')} {matching(_VARIABLE_NAME, cause, 'cause')}")


def connect() -> Command:
    """The first command on a call socket; its reply is the call."""
    return Command("connect")


def execute(application: str, argument: str = "") -> Command:
    """Run a dialplan application on the call of a call socket, at once in sync mode."""
    text = f"sendmsg\ncall-command: execute\nexecute-app-name: {_application(application)}"
    if argument:
        argument = _argument(argument)
        if len(argument) > _LONGEST_IN_A_HEADER:
            return Command(text + "\ncontent-type: text/plain", body=argument)
        text += f"\nexecute-app-arg: {argument}"
    return Command(text)


def go_on_with(*applications: tuple[str, str]) -> Command:
    """Have the call of a call socket run these once the connection has closed, in place of what its dialplan says next.

    As `transfer` does, without looking for an extension, and without an application of its own: each costs FreeSWITCH
    two events with all that it knows of the call (run).
    """
    lines = (
        f"application: {_application(name)} {_argument(argument)}".rstrip() for name, argument in applications
    )
    return Command("\n".join(("sendmsg\ncall-command: xferext", *lines)))


def _application(name: str) -> str:
    return matching(_VARIABLE_NAME, name, "application name")


def _argument(argument: str) -> str:
    if "${" in argument:
        raise UnsafeArgument("an application argument may not hold '${': FreeSWITCH would expand it")
    return one_line(argument, "an application argument")
