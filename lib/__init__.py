"""Models, attacks and detectors behind the book, and the experiments that fill its pages."""
