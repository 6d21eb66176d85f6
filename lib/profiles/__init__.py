"""Three scales of every experiment, in one table: what `profile` means."""

from lib.profiles.bayes import DBX_TRAINING as DBX_TRAINING
from lib.profiles.bayes import DECODERS as DECODERS
from lib.profiles.bayes import ONE_CYCLE as ONE_CYCLE
from lib.profiles.bayes import PROFILES as PROFILES
from lib.profiles.bayes import PUBLISHED_TRAINING as PUBLISHED_TRAINING
from lib.profiles.bayes import Profile as Profile
from lib.profiles.densities import DENSITIES as DENSITIES
from lib.profiles.densities import LONGER as LONGER
from lib.profiles.densities import Density as Density
from lib.profiles.detectors import DETECTORS as DETECTORS
from lib.profiles.detectors import SHORT_STEPS as SHORT_STEPS
from lib.profiles.detectors import SYSTEMS as SYSTEMS
from lib.profiles.detectors import DetectorProfile as DetectorProfile
from lib.profiles.detectors import Inner as Inner
from lib.profiles.detectors import namesake as namesake
from lib.profiles.training import Training as Training


def profile(name: str) -> Profile:
    """A profile by name. Raises ValueError listing the choices."""
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}; expected one of {', '.join(PROFILES)}")
    return PROFILES[name]
