"""What runs the cells of a sweep: processes of this machine, or whatever a command starts elsewhere."""
