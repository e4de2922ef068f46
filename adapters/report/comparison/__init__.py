"""Comparisons of a site: two agents, two models or two sweeps, paired by what both sides have run."""
