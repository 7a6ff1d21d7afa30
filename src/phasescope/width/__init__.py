"""What changes with width: coordinate checks, whether the learning rate of a small network is that of a large one."""

from phasescope.width.coordinates import coordinate_check
from phasescope.width.coordinates_result import CoordinateCheck
from phasescope.width.rates import transfer
from phasescope.width.rates_result import RateTransfer
from phasescope.width.scaling import Scaling, scalings
from phasescope.width.slopes import Slope

__all__ = ["CoordinateCheck", "RateTransfer", "Scaling", "Slope", "coordinate_check", "scalings", "transfer"]
