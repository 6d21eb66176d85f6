"""What a process does with the memory that it frees."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4                       # of glibc's malloc.h


def keep_memory() -> None:
    """Have the C library keep what is freed (glibc; elsewhere nothing happens), for the whole process.

    Else it hands large blocks back to the system at once, and whoever asks for them next pays for every page anew: a
    gradient step for three thousand pages, an update of ten stacked detectors for thirty thousand. The peak is
    the same.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**30)
