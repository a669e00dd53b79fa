"""One heart, how its ventricles are activated, and where it lies in the chest.

Each ventricular segment is a dipole whose strength is a Gaussian in time, centred at
its activation. Activation starts where the conduction system enters the ventricles
(Durrer et al., Circulation 41 (1970) 899-912) and spreads; a blocked bundle branch is
an entry that is absent, an extrasystole or a pacemaker an entry elsewhere. `waves`
makes the curves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mccgaa_twin import anatomy, torso

RATE = 500  # Hz
PRE_MS = 60.0  # window before QRS onset, for the rising edge of the first dipoles

# Entry of the conduction system: segment, and ms after the first activation.
ENTRIES: dict[str, tuple[int, float]] = {
    "septal": (8, 0.0),
    "left anterior": (6, 5.0),
    "left posterior": (9, 5.0),
    "right": (20, 12.0),
}
LEFT_ENTRIES = ("septal", "left anterior", "left posterior")


@dataclass
class Heart:
    """Everything that a subject and its findings decide; findings change it in place.

    Amplitudes are in mV at the dipole, times in ms, angles in degrees.
    """

    # Rhythm
    rhythm: str = "sinus"  # a key of rhythm.RHYTHMS
    rate: float = 70.0  # beats a minute
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
    mass: np.ndarray = field(default_factory=lambda: anatomy.MASS.copy())
    alive: np.ndarray = field(default_factory=lambda: np.ones(22))  # 0 = scar
    entries: dict[str, float] = field(
        default_factory=lambda: {name: e[1] for name, e in ENTRIES.items()}
    )  # ms; an absent key is a blocked fascicle
    preexcitation: tuple[int, float] | None = None  # segment, ms ahead of the rest
    gain: float = 1.0  # of all ventricular dipoles
    fragments: float = 0.0  # strength of notches in QRS
    # Repolarisation
    injury: np.ndarray = field(default_factory=lambda: np.zeros(22))  # ST, mV
    st_vector: np.ndarray = field(default_factory=lambda: np.zeros(3))  # ST, mV
    st_shape: str = "flat"  # flat | up | down | sag | dome
    t_gain: np.ndarray = field(default_factory=lambda: np.ones(22))
    t_amplitude: float = 1.0  # of anatomy.T_WAVE
    t_width: float = 43.0  # ms, standard deviation of the downstroke
    t_skew: float = 1.5  # upstroke's width over downstroke's
    st_delay: float = 0.0  # ms of flat ST before T, as in hypocalcaemia
    u_wave: float = 0.0  # share of T
    # Atria
    p_duration: float = 105.0
    right_atrium: float = 0.10  # mV
    left_atrium: float = 0.085  # mV
    # Body
    chest: np.ndarray = field(default_factory=lambda: torso.CHEST.copy())
    dower: np.ndarray = field(default_factory=lambda: torso.DOWER.copy())
    limb_gain: float = 1.0
    chest_gain: float = 1.0
    # Bookkeeping for reports and truth
    pacing: str | None = None  # None | ventricular | atrial | dual
    focus: int = 20  # segment where ectopic or paced beats start


@dataclass
class Activation:
    """When and in which direction each segment is activated."""

    times: np.ndarray  # (22,) ms after QRS onset
    widths: np.ndarray  # (22,) ms
    dipoles: np.ndarray  # (22, 3) mV
    duration: float  # ms, while the heart vector moves

    @property
    def area(self) -> np.ndarray:
        """The heart vector's area (3,) in mV ms, but for a factor."""
        return self.dipoles.T @ self.widths


def _spread(heart: Heart, focus: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Activation times (22,) in ms and slow share (22,) in [0, 1] of each segment.

    The slow share tells how far activation ran through muscle rather than Purkinje.
    """
    places = anatomy.PLACES
    if focus is not None:
        distance = np.linalg.norm(places - places[focus], axis=1)
        return distance / 0.075, np.clip(distance / 4.0, 0.3, 1.0)
    times = np.full(22, np.inf)
    slow = np.zeros(22)
    left = np.zeros(22, bool)
    left[anatomy.LV] = True
    entries = [(ENTRIES[name][0], ms, 0.0) for name, ms in heart.entries.items()]
    if heart.preexcitation is not None:
        entries.append((heart.preexcitation[0], -heart.preexcitation[1], 1.0))
    for segment, start, muscle in entries:
        distance = np.linalg.norm(places - places[segment], axis=1)
        same = left == left[segment]
        # Purkinje net in the same ventricle, 2 m/s; muscle elsewhere, 0.9 m/s after
        # the septum is crossed; an accessory pathway has muscle alone.
        speed = np.where(same & (muscle == 0.0), 0.2, 0.085)
        crossing = np.where(same, 0.0, 22.0)
        arrival = start + distance / speed + crossing + anatomy.DELAY
        share = np.where(same & (muscle == 0.0), 0.0, np.clip(distance / 4.0, 0.3, 1))
        earlier = arrival < times
        times = np.where(earlier, arrival, times)
        slow = np.where(earlier, share, slow)
    return times, slow


def _directions(
    heart: Heart, times: np.ndarray, slow: np.ndarray, focus: int | None
) -> np.ndarray:
    """Unit direction (22, 3) of each segment's wavefront: outward, or from its source.

    Purkinje activation runs outward; muscle-borne activation runs from early to late
    neighbours, estimated by the slope of the activation times around the segment.
    """
    places = anatomy.PLACES
    away = places[:, None] - places[None]  # (S, S, 3)
    distance = np.linalg.norm(away, axis=2) + 1e-9
    near = np.exp(-((distance / 4.0) ** 2))
    np.fill_diagonal(near, 0.0)
    slope = (times[:, None] - times[None]) * near / distance**2
    run = (slope[..., None] * away).sum(axis=1)  # (S, 3)
    run = run / (np.linalg.norm(run, axis=1, keepdims=True) + 1e-9)
    share = slow[:, None]
    mixed = (1 - 0.75 * share) * anatomy.NORMALS + 0.75 * share * run
    return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


def envelope(dipoles: np.ndarray, times: np.ndarray, widths: np.ndarray, grid):
    """Sum of the segments' Gaussians (..., T) over `grid` in ms."""
    gauss = np.exp(-0.5 * ((grid[None] - times[:, None]) / widths[:, None]) ** 2)
    return dipoles @ gauss


def _duration(dipoles: np.ndarray, times: np.ndarray, widths: np.ndarray):
    """Onset and duration in ms: where the heart vector moves, as a reader sees it.

    That is while its speed exceeds 6 % of its largest.
    """
    grid = np.arange(times.min() - 60, times.max() + 60, 2.0)
    path = envelope(dipoles.T, times, widths, grid)  # (3, T)
    speed = np.sqrt((np.diff(path) ** 2).sum(axis=0))
    active = np.flatnonzero(speed > 0.06 * speed.max())
    return grid[active[0]], grid[active[-1]] - grid[active[0]]


def _scaled(dipoles, times, widths, target: float) -> Activation:
    """Stretch an activation in time until its duration is the target."""
    for _ in range(2):
        onset, duration = _duration(dipoles, times, widths)
        stretch = target / duration
        times, widths = (times - onset) * stretch, widths * stretch
    return Activation(times, widths, dipoles, float(target))


def activate_intact(heart: Heart) -> Activation:
    """The heart before block and scar: all entries open, `heart.own_qrs` long."""
    dipoles = anatomy.NORMALS * (heart.mass * heart.gain)[:, None]
    return _scaled(dipoles, _OPEN, _WIDTHS, heart.own_qrs)


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
        Activation, in the heart's own frame (before it is turned in the chest).
    """
    target = heart.qrs if qrs is None else qrs
    times, slow = _spread(heart, focus)
    directions = _directions(heart, times, slow, focus)
    strength = heart.mass * heart.alive * heart.gain * (1 - 0.35 * slow)
    if focus is not None:
        widths = _WIDTHS * (1 + 0.6 * slow)
        return _scaled(directions * strength[:, None], times, widths, target)
    late = times - _OPEN
    septum = anatomy.SEPTUM
    if not any(name in heart.entries for name in LEFT_ENTRIES):
        # Crossed from right to left, the septum is no longer cancelled.
        directions[septum] = directions[septum] - 0.8 * anatomy.NORMALS[septum]
        strength[septum] *= 1.8
    elif "right" not in heart.entries:
        strength[septum] *= 1.7
        late[septum] += 14.0
    dipoles = directions * strength[:, None]
    share = 1.0
    base = _duration(dipoles, intact.times, intact.widths)[1]
    for _ in range(4):
        moved = intact.times + share * late
        widths = intact.widths * (1 + 0.5 * slow * min(share, 2.0))
        reached = _duration(dipoles, moved, widths)[1]
        if abs(reached - target) < 2.0 or abs(reached - base) < 1.0:
            break
        share = float(np.clip(share * (target - base) / (reached - base), 0.3, 4.0))
    return _scaled(dipoles, moved, widths, target)


_WIDTHS = 6.5 * np.where(np.arange(22) < 17, 1.0, 0.8)  # ms; the right wall is thin
_OPEN = _spread(Heart(), None)[0]  # ms, activation with all entries open


@dataclass
class Chest:
    """The torso matrices of one subject, with the heart turned to its axis."""

    fields: np.ndarray  # (22, 8, 3)
    frontal: float  # degrees by which the heart is turned
    blocked: float  # the same for QRS, which a block may turn further
    heart: Heart

    def leads(self, dipoles: np.ndarray, frontal: float | None = None) -> np.ndarray:
        """Lead weights (8, 22) of dipoles (22, 3) in the heart's frame.

        Args:
            dipoles: of each segment.
            frontal: degrees in the frontal plane; None takes the heart's.
        """
        angle = self.frontal if frontal is None else frontal
        turned = dipoles @ turning(self.heart.turn, angle).T
        weights = (self.fields @ turned[:, :, None])[:, :, 0].T
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
        """Lead weights (8,) of a dipole (3,) at the heart's centre, not turned."""
        lead = self.heart.dower @ dipole
        lead[:2] *= self.heart.limb_gain
        lead[2:] *= self.heart.chest_gain
        return lead


def turning(roll: float, frontal: float) -> np.ndarray:
    """Rotation (3, 3) by `roll` about the long axis, then in the frontal plane.

    Args:
        roll, frontal: degrees; frontal counts as the electrical axis does.
    """
    return torso.rotation((0.0, 0.0, 1.0), frontal) @ torso.rotation(anatomy.AXIS, roll)


def mean_axis(leads: np.ndarray) -> float:
    """Electrical axis in degrees from areas (8,) of the independent leads."""
    return torso.frontal_axis(leads[:1], leads[1:2] - leads[:1] / 2)


def _apart(target: float, angle: float) -> float:
    """Degrees from an angle to a target, in [-180, 180)."""
    return (target - angle + 180) % 360 - 180


def _turn_to(axis: float, area: np.ndarray, heart: Heart, start: float) -> float:
    """Degrees in the frontal plane that give a dipole area (3,) an electrical axis."""
    x, y, z = turning(heart.turn, 0.0) @ area
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
    """Place a heart in the chest so that its QRS has the axis asked for.

    `heart.axis` is the intact heart's and turns the heart; `heart.blocked_axis`, where
    a finding gives one, is that of the activation and turns QRS alone.
    """
    frontal = _turn_to(heart.axis, intact.area, heart, 0.0)
    places = anatomy.PLACES @ turning(heart.turn, frontal).T
    fields = torso.lead_fields(places, heart.chest, heart.dower)
    blocked = frontal
    if heart.blocked_axis is not None:
        blocked = _turn_to(heart.blocked_axis, activation.area, heart, frontal)
    return Chest(fields, frontal, blocked, heart)
