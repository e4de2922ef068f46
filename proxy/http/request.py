"""A request as far as its head goes, whoever read it: aiohttp, or our own wire."""

from aiohttp import web

from cab.proxy.http.wire.request_head import RequestHead

HttpRequest = web.BaseRequest | RequestHead
"""Both have the same names for the method, the target, the version and the headers."""
