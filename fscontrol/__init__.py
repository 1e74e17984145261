"""fscontrol: the control plane that turns a stock FreeSWITCH into a SIP bridge for AI voice assistants."""

__version__ = "0.1.0"
