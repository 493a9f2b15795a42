"""Pure functions over trees of parameters; does not know languages."""
