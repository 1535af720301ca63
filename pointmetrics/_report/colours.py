"""Colour scales for errors: lightness rises or falls all the way, so they read in any colour vision and in print."""

from __future__ import annotations

import numpy as np

# Lightness, chroma and hue (degrees) of both ends, in OKLCH. On a dark ground errors light up, on paper they darken.
_ENDS = {"dark": ((0.52, 0.93), (0.14, 0.14), (275.0, 108.0)), "light": ((0.87, 0.28), (0.15, 0.13), (100.0, 310.0))}
_TO_LMS = np.array(
    [[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728], [1.0, -0.0894841775, -1.2914855480]]
)
_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def scale(ground: str = "dark", n: int = 256) -> np.ndarray:
    """Return the colours from no error to the largest, sRGB uint8 ``(n, 3)``.

    Parameters
    ----------
    ground : {"dark", "light"}, default="dark"
        What the colours are seen on.
    n : int, default=256
        Number of colours.

    References
    ----------
    B. Ottosson, "A perceptual color space for image processing", 2020 (OKLab).
    """
    lightness, chroma, hue = (np.linspace(*ends, n) for ends in _ENDS[ground])
    angle = np.deg2rad(hue)
    lab = np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=1)
    linear = np.clip((lab @ _TO_LMS.T) ** 3 @ _TO_RGB.T, 0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(curved * 255).astype(np.uint8)
