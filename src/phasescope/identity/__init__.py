"""What a number depends on: fingerprints of code, of values, and of the house's own files.

A record in a store is found by its identity, and networks are trained side by side only where they are the same but
for their weights. Both rest on ``fingerprint``. It may take two things that act alike for different (then a network is
trained again, and nothing is wrong); it must never take two things that act differently for the same.
"""

from phasescope.identity.fingerprint import fingerprint
from phasescope.identity.networks import network_parts
from phasescope.identity.origins import (
    Origin,
    files_of,
    full_name,
    house_digests,
    house_fingerprint,
    is_users,
    origin_of,
)
from phasescope.identity.spaces import patches
from phasescope.identity.surroundings import surroundings

__all__ = [
    "Origin",
    "files_of",
    "fingerprint",
    "full_name",
    "house_digests",
    "house_fingerprint",
    "is_users",
    "network_parts",
    "origin_of",
    "patches",
    "surroundings",
]
