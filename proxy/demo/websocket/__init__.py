"""OpenAI responses over a WebSocket: many calls on one connection, at once or one after the other.

    upgrade -> connection -> answering -> turn -> events
    faults: how it misbehaves on purpose

Sources: OpenAI's guides "WebSocket mode" and "Steering", and the types of `openai` for Python 3.57.0.
"""
