"""The conformance kit: a real agent CLI against a fake endpoint, and what that proves.

    selection -> parent -> __main__ (in isolation) -> examine (one probe, one run) -> diagnosis -> report

Nothing here is special to one agent: what differs between agents is in their adapters.
"""
