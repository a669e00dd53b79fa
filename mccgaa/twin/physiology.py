"""One heart, how its ventricles are activated, and where it lies in the chest.

Each ventricular segment is a dipole whose strength is a Gaussian in time, centred at
its activation. Activation starts where the conduction system enters the ventricles
(Durrer et al., Circulation 41 (1970) 899-912) and spreads; a blocked bundle branch is
an entry that is absent, an extrasystole or a pacemaker an entry elsewhere. `waves`
makes the curves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mccgaa.twin import anatomy, torso

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
    qrs: float = 92.0  # duration to reach; activation is stretched to it
    qtc: float = 405.0  # at 60/min; QT = qtc * RR^(1/3) (Fridericia)
    # Ventricular depolarisation
    axis: float | None = 45.0  # to reach by turning the heart; None leaves it
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
    duration: float  # ms, from the lead-space magnitude


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


def activate(heart: Heart, focus: int | None = None, qrs: float | None = None):
    """Run one activation through the ventricles.

    Args:
        heart: the subject, findings applied.
        focus: segment of an ectopic or paced beat; None takes the conduction system.
        qrs: duration to reach in ms; None takes `heart.qrs`.

    Returns:
        Activation, in the heart's own frame (before it is turned in the chest).
    """
    times, slow = _spread(heart, focus)
    directions = _directions(heart, times, slow, focus)
    thin = np.where(np.arange(22) < 17, 1.0, 0.8)
    widths = 9.5 * thin * (1 + 0.6 * slow)
    strength = heart.mass * heart.alive * heart.gain * (1 - 0.35 * slow)
    dipoles = directions * strength[:, None]
    target = heart.qrs if qrs is None else qrs
    for _ in range(2):
        grid = np.arange(times.min() - 60, times.max() + 60, 2.0)
        size = np.linalg.norm(envelope(dipoles.T, times, widths, grid), axis=0)
        active = np.flatnonzero(size > 0.06 * size.max())
        onset, end = grid[active[0]], grid[active[-1]]
        stretch = target / (end - onset)
        # Wider spread in time, and half of it in each segment's own width.
        times, widths = (times - onset) * stretch, widths * stretch
    return Activation(times, widths, dipoles, float(target))


@dataclass
class Chest:
    """The torso matrices of one subject's heart, turned to its axis."""

    fields: np.ndarray  # (22, 8, 3)
    frontal: float  # degrees by which dipoles are turned
    heart: Heart

    def leads(self, dipoles: np.ndarray) -> np.ndarray:
        """Lead weights (8, 22) of dipoles (22, 3) in the heart's frame."""
        turned = turn(dipoles, self.heart.turn, self.frontal)
        weights = np.einsum("slk,sk->ls", self.fields, turned)
        weights[:2] *= self.heart.limb_gain
        weights[2:] *= self.heart.chest_gain
        return weights

    def vector(self, dipole: np.ndarray) -> np.ndarray:
        """Lead weights (8,) of a dipole (3,) at the heart's centre, not turned."""
        lead = self.heart.dower @ dipole
        lead[:2] *= self.heart.limb_gain
        lead[2:] *= self.heart.chest_gain
        return lead


def turn(vectors: np.ndarray, roll: float, frontal: float) -> np.ndarray:
    """Turn (..., 3) by `roll` about the long axis, then in the frontal plane."""
    rolled = torso.rotate_about(vectors, anatomy.AXIS, roll) if roll else vectors
    return torso.rotate_frontal(rolled, frontal) if frontal else rolled


def mean_axis(leads: np.ndarray) -> float:
    """Electrical axis in degrees from areas (8,) of the independent leads."""
    return torso.frontal_axis(leads[:1], leads[1:2] - leads[:1] / 2)


def position(heart: Heart, activation: Activation) -> Chest:
    """Place a heart in the chest so that its QRS axis is the one asked for."""
    frontal = 0.0
    area = activation.dipoles * activation.widths[:, None]
    for _ in range(3):
        places = turn(anatomy.PLACES, heart.turn, frontal)
        chest = Chest(
            torso.lead_fields(places, heart.chest, heart.dower), frontal, heart
        )
        if heart.axis is None:
            break
        miss = heart.axis - mean_axis(chest.leads(area).sum(axis=1))
        if abs((miss + 180) % 360 - 180) < 1.0:
            break
        frontal += (miss + 180) % 360 - 180
    return chest
