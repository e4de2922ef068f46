"""One module per subcommand of `cab`, each with `add(subparsers)`; imported only when asked for."""
