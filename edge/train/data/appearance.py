"""What people wear and how light falls on them: a colour for every pixel that shows a body."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge.train.data.body import PARTS

Array = NDArray[Any]

MATERIALS = ("skin", "top", "bottom", "shoes", "hair", "lips", "white", "iris")
_SKIN, _TOP, _BOTTOM, _SHOES, _HAIR, _LIPS, _WHITE, _IRIS = range(len(MATERIALS))
_ARMS = np.array(["arm" in part or "hand" in part for part in PARTS])
_LEGS = np.array(["leg" in part for part in PARTS])
_FEET = np.array(["foot" in part for part in PARTS])
_TORSO, _HEAD, _HAIR_PART, _SKIRT = (PARTS.index(name) for name in ("torso", "head", "hair", "skirt"))
_EYES = 1, 2  # groups of faces
_LEAST_CONTRAST = 0.2  # of a cloth's colour to the skin's, in some channel

# Between the lightest and the darkest of Fitzpatrick's skin types, roughly, in sRGB.
_SKIN_TONES = (
    np.array([[244, 208, 184], [226, 178, 146], [198, 141, 104], [150, 96, 64], [108, 66, 44], [70, 44, 32]]) / 255
)
_HAIR_TONES = (
    np.array(
        [[22, 18, 16], [52, 34, 24], [98, 64, 38], [164, 118, 66], [206, 174, 124], [140, 60, 32], [176, 174, 172]]
    )
    / 255
)
_IRIS_TONES = np.array([[60, 40, 25], [90, 130, 160], [80, 110, 70]]) / 255

Pattern = Literal["plain", "stripes", "bars", "checks", "photo"]
_PATTERNS: tuple[Pattern, ...] = ("plain", "stripes", "bars", "checks", "photo")
_PATTERN_SHARES = (0.5, 0.12, 0.08, 0.1, 0.2)


@dataclass(frozen=True, slots=True, eq=False)
class Cloth:
    """A cloth: two colours, and how they alternate; `texture` is a picture whose colours it takes instead."""

    colour: Array
    second: Array
    pattern: Pattern
    period_m: float
    texture: Array | None  # (H, W, 3)

    def colours(self, places: Array) -> Array:
        """Return the colours (P, 3) in 0…1 at places (P, 3) of the body at rest, in metres."""
        across, up = (places[:, axis] / self.period_m for axis in (0, 2))
        if self.pattern == "photo" and self.texture is not None:
            height, width = self.texture.shape[:2]
            rows, columns = (up * 40.0).astype(np.intp) % height, (across * 40.0).astype(np.intp) % width
            return np.asarray(self.texture[rows, columns] / np.float32(255.0) * 0.8 + 0.2 * self.colour)
        ways = {"stripes": np.floor(up), "bars": np.floor(across), "checks": np.floor(across) + np.floor(up)}
        other = ways[self.pattern] % 2 == 1 if self.pattern in ways else np.zeros(len(places), np.bool_)
        return np.where(other[:, None], self.second, self.colour)


@dataclass(frozen=True, slots=True, eq=False)
class Outfit:
    """All that a person wears: materials' colours, where garments end, what geometry there is beside the body."""

    cloths: dict[int, Cloth]  # of the top and the bottom
    flat: Array  # (M, 3) colours of MATERIALS
    sleeve: float  # along the arm, 0 shoulder … 1 wrist
    leg: float  # along the leg, 0 hip … 1 ankle
    waist: float  # along the torso, 0 hips … 1 neck
    neckline: float
    hairline: float
    looseness_m: float  # how far clothes stand off the skin
    long_hair: bool
    skirt: bool
    barefoot: bool

    def materials(self, parts: Array, groups: Array, along: Array, marks: Array) -> Array:
        """Return the materials (P,) of pixels with parts (P,), groups (P,), garments' coordinates and marks (P, 3)."""
        arm, leg, torso = along.T
        below = torso < self.waist
        covered = _ARMS[parts] & (arm < self.sleeve) | ((parts == _TORSO) & (torso < self.neckline))
        found = np.where(covered, _TOP, _SKIN)
        found[(_LEGS[parts] & (leg < self.leg)) | ((parts == _TORSO) & below) | (parts == _SKIRT)] = _BOTTOM
        if not self.barefoot:
            found[_FEET[parts]] = _SHOES
        head = parts == _HEAD
        found[head & (marks[:, 0] > 0.5)] = _LIPS
        found[head & (marks[:, 2] > self.hairline)] = _HAIR
        found[parts == _HAIR_PART] = _HAIR
        eyes = np.isin(groups, _EYES)
        found[eyes] = np.where(marks[eyes, 1] > 0.5, _IRIS, _WHITE)
        return found

    def looseness(self, along: Array) -> Array:
        """Return how far each vertex (V,) stands off the skin, in metres: clothes do, their ends less."""
        arm, leg, torso = along.T
        dressed = ((arm >= 0) & (arm < self.sleeve)) | ((leg >= 0) & (leg < self.leg))
        dressed |= (arm < 0) & (leg < 0) & (torso < self.neckline)
        return np.where(dressed, self.looseness_m, 0.0).astype(np.float32)

    def colours(self, materials: Array, places: Array) -> Array:
        """Return the colours (P, 3) in 0…1 of materials (P,) at places (P, 3) of the body at rest."""
        found = self.flat[materials]
        for material, cloth in self.cloths.items():
            those = materials == material
            found[those] = cloth.colours(places[those])
        return found


def sample_outfit(generator: np.random.Generator, textures: tuple[Array, ...]) -> Outfit:
    """Return random clothes, hair and skin; `textures` are pictures for printed cloths."""
    tone = generator.uniform(0, len(_SKIN_TONES) - 1)
    skin = _between(_SKIN_TONES, tone) * generator.uniform(0.92, 1.06, 3)
    top = _sample_cloth(generator, textures)
    bottom = top if generator.random() < 0.12 else _sample_cloth(generator, textures)
    top, bottom = (_unlike(skin, cloth) for cloth in (top, bottom))
    hair = _HAIR_TONES[generator.integers(len(_HAIR_TONES))] * generator.uniform(0.7, 1.2)
    flat = np.zeros((len(MATERIALS), 3))
    flat[_SKIN], flat[_LIPS] = skin, skin * (0.88, 0.62, 0.62)
    flat[_SHOES], flat[_HAIR], flat[_WHITE] = _sample_colour(generator), hair, 0.88
    flat[_IRIS] = _IRIS_TONES[generator.integers(len(_IRIS_TONES))]
    skirt, long_hair = generator.random() < 0.18, generator.random() < 0.35
    bald = not long_hair and generator.random() < 0.1
    return Outfit(
        cloths={_TOP: top, _BOTTOM: bottom},
        flat=np.clip(flat, 0.0, 1.0).astype(np.float32),
        sleeve=_one_of(generator, _SLEEVES),
        leg=float(generator.uniform(0.15, 0.3)) if skirt else _one_of(generator, _LEGS_OF_TROUSERS),
        waist=float(generator.uniform(0.12, 0.32)),
        neckline=float(generator.uniform(0.88, 1.04)),
        hairline=2.0 if bald else float(generator.uniform(-0.15, 0.25)),
        looseness_m=float(generator.uniform(0.0, 0.018)),
        long_hair=bool(long_hair),
        skirt=bool(skirt),
        barefoot=bool(generator.random() < 0.12),
    )  # fmt: skip


def _unlike(skin: Array, cloth: Cloth) -> Cloth:
    """Return the cloth in another colour if it looks like skin."""
    if np.abs(cloth.colour - skin).max() > _LEAST_CONTRAST:
        return cloth
    return replace(cloth, colour=(1.0 - cloth.colour).astype(np.float32))


# Lengths of garments: how often, from where to where.
_SLEEVES = ((0.2, -0.1, 0.05), (0.45, 0.15, 0.4), (0.35, 0.85, 1.0))
_LEGS_OF_TROUSERS = ((0.35, 0.15, 0.5), (0.65, 0.8, 1.0))


def _one_of(generator: np.random.Generator, ranges: tuple[tuple[float, float, float], ...]) -> float:
    chosen = ranges[generator.choice(len(ranges), p=[share for share, _, _ in ranges])]
    return float(generator.uniform(*chosen[1:]))


def _sample_cloth(generator: np.random.Generator, textures: tuple[Array, ...]) -> Cloth:
    pattern = _PATTERNS[generator.choice(len(_PATTERNS), p=_PATTERN_SHARES)]
    return Cloth(
        colour=_sample_colour(generator),
        second=_sample_colour(generator),
        pattern=pattern,
        period_m=float(generator.uniform(0.02, 0.09)),
        texture=textures[generator.integers(len(textures))] if textures else None,
    )


def _sample_colour(generator: np.random.Generator) -> Array:
    """Return a cloth's colour: often grey, dark or bright, else of any hue."""
    hue, saturation = generator.random(), generator.beta(1.2, 1.6)
    value = generator.beta(1.3, 1.0)
    if generator.random() < 0.3:
        saturation *= 0.1
    return np.array(colorsys.hsv_to_rgb(hue, saturation, 0.1 + 0.88 * value), np.float32)


def _between(table: Array, place: float) -> Array:
    low = min(int(place), len(table) - 2)
    return np.asarray(table[low] * (1 - place + low) + table[low + 1] * (place - low))


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """Light from a direction, from the sky and from the ground; directions (3,) in the world's axes."""

    towards: Array
    sun: Array  # colours (3,)
    sky: Array
    ground: Array
    shine: float

    def shade(self, colours: Array, normals: Array, views: Array) -> Array:
        """Return lit colours (P, 3); normals and directions to the eye (P, 3) in the world's axes."""
        facing = normals @ self.towards
        up = 0.5 + 0.5 * normals[:, 2:]
        light = self.sky * up + self.ground * (1.0 - up) + self.sun * np.clip(0.15 + 0.85 * facing, 0.0, None)[:, None]
        halfway = self.towards + views
        halfway /= np.linalg.norm(halfway, axis=1, keepdims=True)
        gleam = np.clip(np.einsum("pi,pi->p", normals, halfway), 0.0, None) ** 24 * (facing > 0)
        return np.asarray(colours * light + self.shine * gleam[:, None] * self.sun)


def sample_light(generator: np.random.Generator) -> Light:
    """Return random light: from above, of a warm, cold or white colour, hard or soft."""
    azimuth, height = generator.uniform(0, 2 * np.pi), generator.uniform(0.1, 1.0)
    flat = np.sqrt(1 - height**2)
    warmth = generator.normal(0.0, 0.08)
    tint = np.array([1 + warmth, 1.0, 1 - warmth])
    exposure = generator.uniform(0.85, 1.35)
    hardness = generator.uniform(0.15, 0.65)
    soft = exposure * (1 - hardness)
    cold = np.array([1 - warmth / 2, 1.0, 1 + warmth / 2])
    return Light(
        towards=np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), height], np.float32),
        sun=(exposure * hardness * 1.1 * tint).astype(np.float32),
        sky=(soft * generator.uniform(0.9, 1.1) * cold).astype(np.float32),
        ground=(soft * generator.uniform(0.35, 0.8) * tint).astype(np.float32),
        shine=float(generator.uniform(0.0, 0.25)),
    )  # fmt: skip
