"""The world and what is said about it. NumPy, grain and tensorstore; knows nothing of models."""
