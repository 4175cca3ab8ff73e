"""Sockets for servers on this machine."""

import socket
import sys

from emonet.errors import ConfigError


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address and does not listen yet.

    Args:
        host: an IP address, or a name of this machine.
        port: 0 takes a free one.

    Raises:
        ConfigError: the address is in use, or belongs to another machine.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        # On Windows, the option would let two servers share a port.
        if sys.platform != "win32":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise ConfigError(
            f"Can't listen on {host} port {port}: {error}. Choose another --port"
        ) from error
    bound.set_inheritable(True)
    return bound


def url_of(host: str, bound: socket.socket) -> str:
    """Return the URL of a server with this socket."""
    return f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"
