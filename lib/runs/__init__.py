"""One file per experiment: each ensures its rows and returns them as one data frame."""
