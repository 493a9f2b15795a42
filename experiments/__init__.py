"""The method section: the only place where data meets train."""
