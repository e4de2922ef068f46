"""Static pages of cells: readable by anyone, without tools, from a folder or from a web server."""
