"""How fast: our models and attacks beside the plain way and beside other libraries, on the same functions."""
