"""The overview of a site: who solves what, how surely, at what price, and how honest own counts are."""
