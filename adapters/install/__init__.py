"""Installs agents from PyPI and npm into folders of their own."""
