"""The command lines of `cab-proxy` and `cab`: their parser, the flags of settings, and where settings come from."""
