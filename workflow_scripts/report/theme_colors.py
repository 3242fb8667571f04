"""The colours of a figure on a dark ground: greys turned round, colours lifted until they can be seen, hue kept.

Lightness is that of OKLab (Ottosson 2020), in which equal steps look equal.
"""

from __future__ import annotations

import math

# OKLab lightness of the dark theme's ground and of its text; white becomes the one, black the other.
DARK_GROUND, DARK_TEXT = 0.242, 0.94
# Below this chroma a colour is a grey. Coloured ink on the dark ground is at least LIFTED light: 4.5 : 1 for text.
GREY_CHROMA = 0.03
LIFTED = 0.70


def dark_counterpart(color: str) -> str:
    """`#rrggbb` as it is drawn on the dark ground."""
    lightness, chroma, hue = to_oklch(color)
    if chroma < GREY_CHROMA:
        # The exponent keeps middle greys, which are small text and axes, readable.
        return from_oklch(DARK_GROUND + (DARK_TEXT - DARK_GROUND) * (1.0 - lightness) ** 0.75, 0.0, 0.0)
    return from_oklch(max(lightness, LIFTED), chroma, hue)


def to_oklch(color: str) -> tuple[float, float, float]:
    """Lightness in [0, 1], chroma and hue (radians) of `#rrggbb`."""
    red, green, blue = (_linear(int(color[i : i + 2], 16) / 255) for i in (1, 3, 5))
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    medium = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    lightness = 0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short
    a = 1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short
    b = 0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short
    return lightness, math.hypot(a, b), math.atan2(b, a)


def from_oklch(lightness: float, chroma: float, hue: float) -> str:
    """`#rrggbb`; chroma shrinks as far as it must for the colour to exist on a screen."""
    for share in range(20, -1, -1):
        channels = _from_oklab(
            lightness, *(chroma * share / 20 * part for part in (math.cos(hue), math.sin(hue)))
        )
        if all(-1e-4 <= channel <= 1 + 1e-4 for channel in channels):
            break
    return "#" + "".join(f"{round(255 * _encoded(min(max(channel, 0.0), 1.0))):02x}" for channel in channels)


def contrast(first: str, second: str) -> float:
    """WCAG 2 contrast ratio of two colours, from 1 to 21."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    red, green, blue = (_linear(int(color[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _from_oklab(lightness: float, a: float, b: float) -> tuple[float, float, float]:
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _encoded(channel: float) -> float:
    return 12.92 * channel if channel <= 0.0031308 else 1.055 * channel ** (1 / 2.4) - 0.055
