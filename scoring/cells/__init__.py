"""Cells: as a bundle, as `cell.json`, and as published pages."""
