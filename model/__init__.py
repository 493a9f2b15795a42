"""Language models that differ only in their token mixer."""
