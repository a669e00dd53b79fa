"""One heart, how its ventricles are activated, and where it lies in the chest.

Each ventricular segment is a dipole whose strength is a Gaussian in time, centred at
its activation. Activation starts where the conduction system enters the ventricles
(Durrer et al., Circulation 41 (1970) 899-912) and spreads. A blocked bundle branch is
an entry that is missing; an extrasystole or a pacemaker is an entry elsewhere. `waves`
makes the curves.

Shapes: 22 segments, 8 independent leads, 3 coordinates x, y, z.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from mccgaa_twin import anatomy, torso

Rng = np.random.Generator

RATE = 500  # Hz
PRE_MS = 60.0  # window before QRS onset, for the rising edge of the first dipoles

# Entries of the conduction system: segment, and ms after the first activation.
_ENTRIES: dict[str, tuple[int, float]] = {
    "septal": (8, 0.0),
    "left anterior": (6, 5.0),
    "left posterior": (9, 5.0),
    "right": (anatomy.RV_APEX, 12.0),
}
LEFT_ENTRIES = ("septal", "left anterior", "left posterior")

# How fast activation runs: cm per ms (0.1 is 1 m/s).
_PURKINJE_SPEED = 0.2
_MUSCLE_SPEED = 0.085
_ECTOPIC_SPEED = 0.075  # an ectopic or paced beat has muscle alone
_CROSSING_MS = 22.0  # to cross the septum
_REACH = 4.0  # cm of muscle after which activation counts as slow throughout

# Standard deviation of a segment's dipole in time, ms; the right wall is thin.
_WIDTHS = 6.5 * np.where(np.arange(22) < 17, 1.0, 0.8)


@dataclass
class Heart:
    """All that a subject and its findings decide; findings change it in place.

    Amplitudes are in mV at the dipole, times in ms, angles in degrees.
    """

    # Rhythm
    rhythm: str = "sinus"  # a key of rhythm.RHYTHMS
    rate: float = 70.0  # beats per minute
    rhythm_options: dict = field(default_factory=dict)
    # Intervals
    pr: float = 155.0
    own_qrs: float = 92.0  # duration before any block
    qrs: float = 92.0  # duration with it
    qtc: float = 405.0  # at 60/min; QT = qtc * RR^(1/3) (Fridericia)
    # Ventricular depolarisation
    axis: float = 45.0  # of the intact heart, reached by turning it
    blocked_axis: float | None = None  # of QRS with a block, where that decides it
    turn: float = 0.0  # about the heart's long axis; positive is clockwise
    mass: np.ndarray = field(default_factory=lambda: anatomy.MASS.copy())  # (22,)
    alive: np.ndarray = field(default_factory=lambda: np.ones(22))  # 0 = scar
    entries: dict[str, float] = field(
        default_factory=lambda: {name: e[1] for name, e in _ENTRIES.items()}
    )  # ms; a missing key is a blocked fascicle
    preexcitation: tuple[int, float] | None = None  # segment, ms ahead of the rest
    gain: float = 1.0  # of all ventricular dipoles
    fragments: float = 0.0  # strength of notches in QRS
    # Repolarisation
    injury: np.ndarray = field(default_factory=lambda: np.zeros(22))  # ST, mV
    st_vector: np.ndarray = field(default_factory=lambda: np.zeros(3))  # ST, mV
    st_shape: str = "flat"  # flat | up | down | sag | dome
    t_gain: np.ndarray = field(default_factory=lambda: np.ones(22))
    t_amplitude: float = 1.0  # factor on anatomy.T_WAVE
    t_width: float = 43.0  # ms, standard deviation of the downstroke
    t_skew: float = 1.5  # upstroke's width over downstroke's
    u_wave: float = 0.0  # share of T
    # Atria
    p_duration: float = 105.0
    right_atrium: float = 0.10  # mV
    left_atrium: float = 0.085  # mV
    # Body
    chest: np.ndarray = field(default_factory=lambda: torso.CHEST.copy())  # (6, 3)
    dower: np.ndarray = field(default_factory=lambda: torso.DOWER.copy())  # (8, 3)
    limb_gain: float = 1.0
    chest_gain: float = 1.0
    # What `variety` changes; as here, hearts are alike in shape
    variety: float = 0.0
    delay: np.ndarray = field(default_factory=lambda: np.zeros(22))  # activation, ms
    breadth: np.ndarray = field(default_factory=lambda: np.ones(22))  # of its dipoles
    patches: np.ndarray = field(default_factory=lambda: np.zeros(22))  # of territories
    t_delay: np.ndarray = field(default_factory=lambda: np.zeros(22))  # ms
    t_power: float = 2.0  # of T's exponent: 2 is a Gaussian
    st_slope: float = 0.0  # share by which ST rises from J to T
    st_bow: float = 0.0  # > 0: convex, < 0: concave
    p_turn: np.ndarray = field(default_factory=lambda: np.eye(3))
    p_centres: tuple[float, float] = (0.36, 0.64)  # of both atria, share of P
    p_sharpness: float = 5.6  # P's duration over one atrium's standard deviation
    # Ectopic and paced beats
    pacing: str | None = None  # None | ventricular | atrial | dual
    focus: int = anatomy.RV_APEX  # segment where they start


# What a finding does: it changes a heart in place, by a strength (1 is typical).
Change = Callable[[Heart, float, Rng], None]


@dataclass
class Activation:
    """When and in which direction each segment is activated."""

    times: np.ndarray  # (22,) ms after QRS onset
    widths: np.ndarray  # (22,) ms
    dipoles: np.ndarray  # (22, 3) mV
    duration: float  # ms, while the heart vector moves

    @property
    def area(self) -> np.ndarray:
        """Area (3,) under the heart vector, in mV ms up to a constant factor."""
        return self.dipoles.T @ self.widths


def _spread(heart: Heart, focus: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Activation times (22,) in ms and slow share (22,) in [0, 1] of each segment.

    The slow share says how far activation ran through muscle rather than through the
    Purkinje network.
    """
    places = anatomy.PLACES
    if focus is not None:
        distance = np.linalg.norm(places - places[focus], axis=1)  # (22,) cm
        return distance / _ECTOPIC_SPEED, np.clip(distance / _REACH, 0.3, 1.0)
    times = np.full(22, np.inf)
    slow = np.zeros(22)
    left = np.zeros(22, bool)
    left[anatomy.LV] = True
    entries = [(_ENTRIES[name][0], ms, False) for name, ms in heart.entries.items()]
    if heart.preexcitation is not None:
        segment, ahead = heart.preexcitation
        entries.append((segment, -ahead, True))
    # Each segment is activated by the entry that reaches it first.
    for segment, start, accessory in entries:
        distance = np.linalg.norm(places - places[segment], axis=1)
        same = left == left[segment]
        # The Purkinje network conducts within its own ventricle. The other ventricle is
        # reached through muscle, once the septum is crossed; an accessory pathway has
        # muscle alone.
        purkinje = same & (not accessory)
        speed = np.where(purkinje, _PURKINJE_SPEED, _MUSCLE_SPEED)
        crossing = np.where(same, 0.0, _CROSSING_MS)
        arrival = start + distance / speed + crossing + anatomy.DELAY
        share = np.where(purkinje, 0.0, np.clip(distance / _REACH, 0.3, 1))
        earlier = arrival < times
        times = np.where(earlier, arrival, times)
        slow = np.where(earlier, share, slow)
    return times, slow


@cache
def _open_times() -> np.ndarray:
    """Activation times (22,) in ms with all entries open; not to be written to."""
    return _spread(Heart(), None)[0]


def _directions(times: np.ndarray, slow: np.ndarray) -> np.ndarray:
    """Unit direction (22, 3) of each segment's wavefront: outward, or from its source.

    Purkinje activation runs outward. Activation through muscle runs from early to late
    neighbours, estimated by the slope of the activation times around the segment.
    """
    places = anatomy.PLACES
    away = places[:, None] - places[None]  # (22, 22, 3), from each other segment
    distance = np.linalg.norm(away, axis=2) + 1e-9  # (22, 22) cm
    near = np.exp(-((distance / 4.0) ** 2))  # weight of a neighbour, 4 cm wide
    np.fill_diagonal(near, 0.0)
    slope = (times[:, None] - times[None]) * near / distance**2
    run = (slope[..., None] * away).sum(axis=1)  # (22, 3)
    run = run / (np.linalg.norm(run, axis=1, keepdims=True) + 1e-9)
    share = slow[:, None]
    mixed = (1 - 0.75 * share) * anatomy.NORMALS + 0.75 * share * run
    return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


def envelope(
    dipoles: np.ndarray, times: np.ndarray, widths: np.ndarray, grid: np.ndarray
) -> np.ndarray:
    """Sum dipoles that rise and fall as Gaussians in time.

    Args:
        dipoles: (N, S) mV, one column per dipole.
        times: (S,) ms, the Gaussians' centres.
        widths: (S,) ms, their standard deviations.
        grid: (T,) ms.

    Returns:
        (N, T) mV.
    """
    gauss = np.exp(-0.5 * ((grid[None] - times[:, None]) / widths[:, None]) ** 2)
    return dipoles @ gauss  # (N, S) @ (S, T)


def _duration(
    dipoles: np.ndarray, times: np.ndarray, widths: np.ndarray
) -> tuple[float, float]:
    """Onset and duration of QRS in ms, as a reader sees them.

    QRS lasts while the heart vector moves at more than 6 % of its highest speed.
    """
    grid = np.arange(times.min() - 60, times.max() + 60, 2.0)
    path = envelope(dipoles.T, times, widths, grid)  # (3, T)
    speed = np.sqrt((np.diff(path) ** 2).sum(axis=0))
    active = np.flatnonzero(speed > 0.06 * speed.max())
    return grid[active[0]], grid[active[-1]] - grid[active[0]]


def _stretched(
    dipoles: np.ndarray, times: np.ndarray, widths: np.ndarray, target: float
) -> Activation:
    """Stretch an activation in time until QRS lasts `target` ms.

    Twice, as the onset that a reader sees moves with the first stretch.
    """
    for _ in range(2):
        onset, duration = _duration(dipoles, times, widths)
        stretch = target / duration
        times, widths = (times - onset) * stretch, widths * stretch
    return Activation(times, widths, dipoles, float(target))


def activate_intact(heart: Heart) -> Activation:
    """Activate the heart without block and scar: QRS lasts `heart.own_qrs`."""
    dipoles = anatomy.NORMALS * (heart.mass * heart.gain)[:, None]
    times, widths = _open_times() + heart.delay, _WIDTHS * heart.breadth
    return _stretched(dipoles, times, widths, heart.own_qrs)


def activate(
    heart: Heart,
    intact: Activation,
    focus: int | None = None,
    qrs: float | None = None,
) -> Activation:
    """Run one activation through the ventricles.

    Segments that a block makes late are delayed until the whole takes `heart.qrs`;
    the others keep the time they have in the intact heart.

    Args:
        heart: the subject, findings applied.
        intact: the same heart's without block and scar.
        focus: segment of an ectopic or paced beat; None takes the conduction system.
        qrs: duration to reach in ms; None takes `heart.qrs`.

    Returns:
        Activation in the heart's own frame, before it is turned in the chest.
    """
    target = heart.qrs if qrs is None else qrs
    times, slow = _spread(heart, focus)
    directions = _directions(times, slow)
    # Slow wavefronts are ragged, so that their dipoles cancel in part.
    strength = heart.mass * heart.alive * heart.gain * (1 - 0.35 * slow)
    if focus is not None:
        widths = _WIDTHS * heart.breadth * (1 + 0.6 * slow)
        return _stretched(directions * strength[:, None], times, widths, target)
    late = times - _open_times()  # (22,) ms that the block costs
    septum = anatomy.SEPTUM
    if not any(name in heart.entries for name in LEFT_ENTRIES):
        # Crossed from right to left, the septum is no longer cancelled.
        directions[septum] = directions[septum] - 0.8 * anatomy.NORMALS[septum]
        strength[septum] *= 1.8
    elif "right" not in heart.entries:
        # Crossed from left to right: the right half of the septum comes late.
        strength[septum] *= 1.7
        late[septum] += 14.0
    dipoles = directions * strength[:, None]
    # Secant steps: which multiple of the delays makes QRS last as long as asked for?
    share = 1.0
    base = _duration(dipoles, intact.times, intact.widths)[1]
    for _ in range(4):
        moved = intact.times + share * late
        widths = intact.widths * (1 + 0.5 * slow * min(share, 2.0))
        reached = _duration(dipoles, moved, widths)[1]
        if abs(reached - target) < 2.0 or abs(reached - base) < 1.0:
            break
        share = float(np.clip(share * (target - base) / (reached - base), 0.3, 4.0))
    return _stretched(dipoles, moved, widths, target)


@dataclass
class Chest:
    """The torso matrices of one subject, with the heart turned to its axis."""

    fields: np.ndarray  # (22, 8, 3) mV of lead per mV of dipole
    frontal: float  # degrees by which the heart is turned
    blocked: float  # the same for QRS, which a block may turn further
    heart: Heart

    def leads(self, dipoles: np.ndarray, frontal: float | None = None) -> np.ndarray:
        """Weigh dipoles of the heart's own frame in the leads.

        Args:
            dipoles: (22, 3) mV, of each segment.
            frontal: degrees in the frontal plane; None takes the heart's.

        Returns:
            (8, 22) mV.
        """
        angle = self.frontal if frontal is None else frontal
        turned = dipoles @ _turning(self.heart.turn, angle).T  # (22, 3)
        weights = (self.fields @ turned[:, :, None])[:, :, 0].T  # (8, 22)
        weights[:2] *= self.heart.limb_gain
        weights[2:] *= self.heart.chest_gain
        return weights

    def atrial_field(self) -> np.ndarray:
        """Torso matrix (8, 3) of the atria."""
        place = anatomy.ATRIA[None]
        field = torso.lead_fields(place, self.heart.chest, self.heart.dower)[0]
        field[:2] *= self.heart.limb_gain
        return field

    def vector(self, dipole: np.ndarray) -> np.ndarray:
        """Leads (8,) in mV of a dipole (3,) in mV at the heart's centre, not turned."""
        lead = self.heart.dower @ dipole
        lead[:2] *= self.heart.limb_gain
        lead[2:] *= self.heart.chest_gain
        return lead


def _turning(roll: float, frontal: float) -> np.ndarray:
    """Rotation (3, 3) by `roll` about the long axis, then in the frontal plane.

    Args:
        roll, frontal: degrees; frontal counts as the electrical axis does.
    """
    return torso.rotation((0.0, 0.0, 1.0), frontal) @ torso.rotation(anatomy.AXIS, roll)


def mean_axis(leads: np.ndarray) -> float:
    """Electrical axis in degrees from areas (8,) under the independent leads."""
    # aVF = II - I / 2
    return torso.frontal_axis(leads[:1], leads[1:2] - leads[:1] / 2)


def _apart(target: float, angle: float) -> float:
    """Degrees from an angle to a target, in [-180, 180)."""
    return (target - angle + 180) % 360 - 180


def _turn_to(axis: float, area: np.ndarray, heart: Heart, start: float) -> float:
    """Degrees in the frontal plane that give a dipole area (3,) an electrical axis.

    Damped fixed-point steps: turn by 80 % of what the axis misses, until it is within
    half a degree. Plain floats, as this is called for every record.
    """
    x, y, z = _turning(heart.turn, 0.0) @ area
    (ax, ay, az), (bx, by, bz) = heart.dower[:2].tolist()  # leads I and II
    angle = start
    for _ in range(12):
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        right, down = cos * x - sin * y, sin * x + cos * y
        first = ax * right + ay * down + az * z
        avf = bx * right + by * down + bz * z - first / 2
        now = math.degrees(math.atan2(2 / math.sqrt(3) * avf, first))
        miss = _apart(axis, now)
        if abs(miss) < 0.5:
            break
        angle += 0.8 * miss
    return angle


def position(heart: Heart, intact: Activation, activation: Activation) -> Chest:
    """Turn a heart in the chest so that its QRS has the axis asked for.

    `heart.axis` is the intact heart's and turns the whole heart. `heart.blocked_axis`,
    where a finding gives one, is that of the activation and turns QRS alone.
    """
    frontal = _turn_to(heart.axis, intact.area, heart, 0.0)
    places = anatomy.PLACES @ _turning(heart.turn, frontal).T  # (22, 3) cm
    fields = torso.lead_fields(places, heart.chest, heart.dower)
    blocked = frontal
    if heart.blocked_axis is not None:
        blocked = _turn_to(heart.blocked_axis, activation.area, heart, frontal)
    return Chest(fields, frontal, blocked, heart)
