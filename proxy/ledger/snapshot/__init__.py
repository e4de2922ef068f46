"""The snapshot: what each cell has spent, kept beside the ledger so that a start need not read it all.

It lies in the state folder and is made from ledgers and nothing else: records are read on from where
reading ended, and what they add is stored in one transaction with where reading ended now. So it is
always the state of the ledger at some line, and holds nothing that the ledger does not.
"""
