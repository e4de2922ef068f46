"""Archives: closed segments are moved out of a ledger, and a signed checkpoint stays in their place.

Each step can be interrupted. One rename decides: before it nothing is archived, behind it all is.
"""
