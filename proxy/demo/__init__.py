"""A scripted model server: `cab-proxy --upstream demo`, with no key and no network.

    server -> call -> dialects, responder, usage, fault_modes, sending, account
    server -> websocket -> call
    responder -> scenarios, toolbox, tool, shell, edits

It understands OpenAI chat completions and responses, posted or over a WebSocket, Anthropic messages and
Gemini generations. It leads a coding agent through the tasks it knows, the scenarios, and answers
everything else politely. All it knows of a conversation is in the messages it is sent, so the same
request gets the same answer; only on a WebSocket does it keep what it said, as the protocol wants it.
Its usage is what tiktoken counts for the messages that it really got and sent; what came before the
last answer counts as cached. Sampling settings and token limits are read and have no effect. In a fault
mode it misbehaves, as endpoints sometimes do.
"""

from cab.proxy.demo.fault_modes import FaultMode as FaultMode
from cab.proxy.demo.fault_modes import read_fault_mode as read_fault_mode
from cab.proxy.demo.server import Demo as Demo
from cab.proxy.demo.server import running_demo as running_demo
from cab.proxy.demo.websocket.faults import WebSocketFault as WebSocketFault
