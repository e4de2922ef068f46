"""A scripted model server: `cab-proxy --upstream demo`, with no key and no network.

    server -> request, actor, wire, account -> plays, toolbox, shell, edits

It speaks OpenAI chat completions. It leads a coding agent through the tasks it knows, the plays, and
answers everything else politely. All it knows of a conversation is in the messages it is sent, so
the same request gets the same answer. Its usage is what tiktoken counts for the messages that it
really got and sent. Sampling settings and token limits are read and have no effect.
"""

from cab.proxy.demo.server import Demo, running_demo

__all__ = ["Demo", "running_demo"]
