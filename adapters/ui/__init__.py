"""What commands share: tables, progress, and the reading of arguments and cells."""
