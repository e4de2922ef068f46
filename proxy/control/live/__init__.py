"""The live view: what a proxy does now, from its ledger, for a browser and for `cab top`."""
