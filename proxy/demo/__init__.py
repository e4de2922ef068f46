"""A scripted model server: `cab-proxy --upstream demo`, with no key and no network.

    server -> calls -> dialects, actor, tally, moods, sending, account
    actor -> plays, toolbox, tool, shell, edits

It speaks OpenAI chat completions and responses, Anthropic messages and Gemini generations. It leads a
coding agent through the tasks it knows, the plays, and answers everything else politely. All it knows
of a conversation is in the messages it is sent, so the same request gets the same answer. Its usage is
what tiktoken counts for the messages that it really got and sent; what stood before the last answer
counts as cached. Sampling settings and token limits are read and have no effect. In a mood it misbehaves, as endpoints do now and then.
"""

from cab.proxy.demo.fault_modes import FaultMode, read_fault_mode
from cab.proxy.demo.server import Demo, running_demo

__all__ = ["Demo", "FaultMode", "read_fault_mode", "running_demo"]
