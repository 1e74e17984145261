"""`fscontrol freeswitch-config DIR`: write the configuration tree a stock FreeSWITCH boots on."""

from __future__ import annotations

import math
from pathlib import Path

import click

from fscontrol import settings as configuration
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.errors import ConfigurationError
from fscontrol.settings import NODE_PLACE, NodeAddress, Settings
from fscontrol.sofia.tree import NodeConfig, XmlCurl


@click.command(
    "freeswitch-config",
    epilog=examples(
        "fscontrol freeswitch-config var/freeswitch",
        "fscontrol freeswitch-config --node fs1 '/srv/{node}/conf'",
    ),
)
@json_option
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--node", "node_name", default="", help="Which node of FSCONTROL_NODES it is for; default: the first."
)
@click.option("--force", is_flag=True, help="Also over a configuration that fscontrol did not write.")
def freeswitch_config(directory: Path, node_name: str, force: bool) -> None:
    """Write FreeSWITCH's configuration tree into DIRECTORY; {node} in it is the node's name.

    Boot it with `freeswitch -conf DIRECTORY -log … -db …`. Gateways are delivered into it later, while both run.
    """
    from fscontrol.sofia.acl import open_wall
    from fscontrol.sofia.deliver import write_tree
    from fscontrol.sofia.tree import XML_CURL_FILE, render_tree

    settings = configuration.load()
    nodes = {node.name: node for node in settings.nodes}
    if node_name and node_name not in nodes:
        raise click.UsageError(f"FSCONTROL_NODES names no node {node_name!r}")
    node = nodes[node_name] if node_name else settings.nodes[0]
    directory = Path(str(directory).replace(NODE_PLACE, node.name))
    there = directory / "freeswitch.xml"
    if not force and there.is_file() and "fscontrol" not in there.read_text("utf-8", "replace"):
        raise click.UsageError(
            f"{directory} holds a configuration that is not ours; choose another, or --force"
        )
    files = render_tree(node_config(settings, node))
    write_tree(directory, files)
    if XML_CURL_FILE not in files:
        (directory / XML_CURL_FILE).unlink(missing_ok=True)  # of an earlier setting; it holds a password
    open_wall(directory)
    if wants_json():
        put_json({"node": node.name, "directory": str(directory), "files": sorted(files)})
        return
    click.echo(f"{len(files)} files for node {node.name} in {directory}")


def node_config(settings: Settings, node: NodeAddress) -> NodeConfig:
    """What the tree of a node depends on, from the settings."""
    if not settings.esl_password.get_secret_value():
        raise ConfigurationError(
            ["FSCONTROL_ESL_PASSWORD is not set: the tree needs the password we shall use"]
        )
    listen = settings.esl_listen or node
    return NodeConfig(
        node=node.name,
        esl_host=listen.host,
        esl_port=listen.port,
        esl_password=settings.esl_password,
        esl_allow=settings.esl_allow,
        call_socket=tuple(
            (each.host, each.port) for each in settings.call_sockets or (settings.call_socket,)
        ),
        sip_ip=settings.sip_ip,
        sip_port=settings.sip_port,
        tls_port=settings.tls_port,
        rtp_start=settings.rtp_ports[0],
        rtp_end=settings.rtp_ports[1],
        external_ip=settings.external_ip,
        # FreeSWITCH gives up on a control plane that hangs a second after we should have.
        decision_seconds=math.ceil(settings.decision_timeout_seconds) + 1,
        xml_curl=xml_curl(settings) if node.name in settings.xml_curl_nodes else None,
    )


def xml_curl(settings: Settings) -> XmlCurl:
    """Where such nodes ask for their gateways. Raises `ConfigurationError` for what `serve` would refuse as well."""
    if problems := [
        each for each in settings.contradictions() if each.startswith(("FSCONTROL_XML", "FSCONTROL_DEL"))
    ]:
        raise ConfigurationError(problems)
    return XmlCurl(
        url=settings.xml_curl_address,
        password=settings.xml_curl_password,
        ca=settings.xml_curl_ca,
        cert=settings.xml_curl_cert,
        key=settings.xml_curl_key,
    )
