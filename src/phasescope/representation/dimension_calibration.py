"""What estimators that look at neighbours read of white noise, by the number of points and the true dimension.

Mean readings of standard normal points: 40, 20, 6 and 2 clouds for the four numbers of points, each known to about
1.5 %. ``tests/test_profile.py`` draws some of them again. TwoNN leaves out a tenth of the ratios, GRIDE looks at
neighbours 8 and 16, and the maximum likelihood at 10.
"""

from __future__ import annotations

POINTS = (100, 300, 1000, 3000)
DIMENSIONS = (1, 2, 4, 8, 16, 32, 64)
READINGS = {  # estimator -> a row for each number of points, a column for each dimension
    "twonn": (
        (0.988, 2.072, 3.964, 7.36, 12.762, 19.548, 30.479),
        (0.997, 1.982, 4.019, 7.673, 13.317, 21.876, 33.227),
        (1.001, 2.042, 4.077, 7.994, 13.826, 22.725, 36.304),
        (0.993, 1.932, 4.122, 7.967, 14.632, 24.094, 38.112),
    ),
    "gride": (
        (1.032, 1.997, 3.639, 5.99, 9.295, 13.988, 20.63),
        (1.023, 2.059, 3.872, 6.869, 11.02, 17.002, 25.261),
        (1.006, 2.028, 4.007, 7.37, 12.186, 19.251, 29.505),
        (1.008, 2.025, 4.097, 7.602, 13.102, 21.062, 32.369),
    ),
    "mle": (
        (1.005, 2.028, 3.873, 6.681, 10.882, 16.35, 24.752),
        (1.004, 2.029, 3.99, 7.23, 12.039, 19.058, 28.517),
        (1.0, 2.013, 4.086, 7.604, 12.908, 20.944, 32.456),
        (0.997, 2.015, 4.082, 7.774, 13.721, 22.356, 34.952),
    ),
}
