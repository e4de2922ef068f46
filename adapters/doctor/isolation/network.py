"""The network namespace of an agent: only loopback, with a route from every address to it."""

import fcntl
import os
import socket
import struct

_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1  # linux/sockios.h, linux/if.h
_NEW_ROUTE, _REQUEST = 24, 0x1 | 0x4 | 0x400  # linux/rtnetlink.h; asked for, acknowledged, created
_LOCAL_TABLE, _BOOT, _HOST_SCOPE, _LOCAL = 255, 3, 254, 2  # linux/rtnetlink.h
_OUT_INTERFACE, _ERROR = 4, 2  # linux/rtnetlink.h, linux/netlink.h


def loopback_up() -> None:
    """Switch on the loopback of this network namespace.

    Raises:
        OSError: It cannot be switched on.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(handle, _GET_FLAGS, request))[1]
        fcntl.ioctl(handle, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags | _UP))


def route_all_here(family: socket.AddressFamily) -> None:
    """Make all addresses of a family local, so that connections to them are seen and refused at once.

    Raises:
        OSError: The kernel refuses it.
    """
    # One message: header, route (for all addresses, in the table of local ones), interface.
    route = struct.pack("=8BI", family, 0, 0, 0, _LOCAL_TABLE, _BOOT, _HOST_SCOPE, _LOCAL, 0)
    body = route + struct.pack("=HHI", 8, _OUT_INTERFACE, socket.if_nametoindex("lo"))
    head = struct.pack("=IHHII", 16 + len(body), _NEW_ROUTE, _REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as handle:
        handle.bind((0, 0))
        handle.send(head + body)
        answer = handle.recv(4096)
    kind, code = struct.unpack("=4xH10xi", answer[:20])
    if kind == _ERROR and code:
        raise OSError(-code, os.strerror(-code), "route to everywhere")
