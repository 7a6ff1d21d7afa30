"""The laws that Phasescope holds its own parts to, as an entry ticket for yours.

``check_study(study, folder, settings=small)`` and ``check_instrument(instrument)`` raise ``AssertionError`` with a
sentence where a law is broken; ``STORE_LAWS`` are those of a keeper. Call them from your tests.
"""

import lazy_loader

# a process that tests a store needs no torch
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
