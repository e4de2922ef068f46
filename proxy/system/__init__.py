"""What differs between operating systems: the table of processes, and what makes a file durable."""
