"""One heart and its beats: activation, repolarisation, atria, leads.

Each ventricular segment is a dipole whose strength is a Gaussian in time, centred at
its activation. Activation starts where the conduction system enters the ventricles
(Durrer et al., Circulation 41 (1970) 899-912) and spreads; a blocked bundle branch is
an entry that is absent, an extrasystole or a pacemaker an entry elsewhere. T waves
keep the ventricular gradient (Wilson et al., Am Heart J 10 (1934) 46-61): what an
abnormal activation adds to the area of QRS is taken from the area of T.
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


def _envelope(dipoles: np.ndarray, times: np.ndarray, widths: np.ndarray, grid):
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
        size = np.linalg.norm(_envelope(dipoles.T, times, widths, grid), axis=0)
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


@dataclass
class Ventricle:
    """One kind of ventricular beat in lead space, ready for any QT."""

    qrs: np.ndarray  # (8, W) from PRE_MS before QRS onset
    t_weights: np.ndarray  # (8, 22)
    st: np.ndarray  # (8,)
    duration: float  # ms
    axis: float  # degrees
    heart: Heart

    def qt(self, rr: float) -> float:
        """QT in ms at an RR interval in seconds (Fridericia), later if QRS is wide."""
        wide = 0.8 * max(self.duration - 100.0, 0.0)
        return self.heart.qtc * float(np.clip(rr, 0.3, 1.6)) ** (1 / 3) + wide

    def wave(self, qt: float) -> np.ndarray:
        """The whole beat (8, T) in mV, from PRE_MS before QRS onset to past T or U."""
        heart, step = self.heart, 1000.0 / RATE
        scale = (qt / 400.0) ** 0.6
        down = heart.t_width * scale
        up = down * heart.t_skew
        # The tangent at a Gaussian's steepest fall meets zero two deviations out.
        peak = qt - 2 * down
        time = np.arange(-PRE_MS, qt + 2.5 * down + 160 * (heart.u_wave > 0), step)
        wave = np.zeros((8, len(time)))
        wave[:, : self.qrs.shape[1]] = self.qrs[:, : len(time)]
        offset = time[None] - (peak + _DISPERSION)[:, None]
        width = np.where(offset < 0, up, down)
        wave += self.t_weights @ np.exp(-0.5 * (offset / width) ** 2)
        if self.st.any():
            wave += self.st[:, None] * self._st_window(time, peak, down)
        if heart.u_wave:
            bump = np.exp(-0.5 * ((time - qt - 90 * scale) / (32 * scale)) ** 2)
            wave += heart.u_wave * np.abs(self.t_weights.sum(axis=1))[:, None] * bump
        return wave

    def _st_window(self, time: np.ndarray, peak: float, down: float) -> np.ndarray:
        """The ST segment's course (T,), 1 at its middle."""
        rise = 1 / (1 + np.exp(-(time - self.duration) / 7.0))
        fall = 1 / (1 + np.exp((time - peak - 0.3 * down) / (0.45 * down)))
        part = np.clip(
            (time - self.duration) / max(peak - self.duration, 40.0), 0.0, 1.3
        )
        shape = {
            "flat": 1.0,
            "up": 1.35 - 0.7 * part,  # a depression that rises towards T
            "down": 0.6 + 0.8 * part,  # a depression that deepens towards T
            "sag": 0.45 + 2.2 * part * (1.3 - part),  # digitalis: a scoop
            "dome": 0.7 + 1.2 * part * (1.3 - part),  # convex, as in infarction
        }[self.heart.st_shape]
        return rise * fall * shape


# Apex and septum repolarise first, base and lateral wall last; ms around the T peak.
_DISPERSION = 6.0 * (anatomy.PLACES @ -anatomy.AXIS) / 3.0


def ventricle(
    heart: Heart, chest: Chest, activation: Activation, normal: Activation, rng
) -> Ventricle:
    """Turn an activation into lead waveforms.

    Args:
        heart, chest: the subject.
        activation: this kind of beat's.
        normal: the same heart's, by the intact conduction system at 92 ms: its QRS
            area is the reference for secondary T waves.
        rng: draws the notches.

    Returns:
        Ventricle: QRS sampled, T and ST as lead weights.
    """
    step = 1000.0 / RATE
    weights = chest.leads(activation.dipoles)
    grid = np.arange(-PRE_MS, activation.duration + PRE_MS, step)
    qrs = _envelope(weights, activation.times, activation.widths, grid)
    if heart.fragments:
        count = 4
        centre = rng.uniform(0.15, 0.95, count) * activation.duration
        vector = rng.normal(0, heart.fragments, (count, 3))
        notch = np.stack([chest.vector(v) for v in vector], axis=1)  # (8, count)
        qrs += _envelope(notch, centre, rng.uniform(4, 8, count), grid)
    share = anatomy.T_WAVE * heart.t_amplitude * heart.t_gain
    primary = anatomy.NORMALS * share[:, None]
    excess = activation.dipoles - normal.dipoles
    t_area = heart.t_width * (1 + heart.t_skew) / 2
    secondary = -0.6 * excess * activation.widths[:, None] / t_area
    injury = anatomy.NORMALS * (heart.mass * heart.injury)[:, None]
    st = chest.leads(injury + 0.3 * secondary).sum(axis=1)
    st = st + chest.vector(heart.st_vector)
    axis = mean_axis(qrs.sum(axis=1))
    t_weights = chest.leads(primary + secondary)
    return Ventricle(qrs, t_weights, st, activation.duration, axis, heart)


# Directions of the atrial dipoles: the right atrium forward and down, the left to the
# left and back; a low ectopic focus runs upward; flutter turns in the frontal plane.
RIGHT_ATRIUM = np.array([0.40, 0.75, -0.50])
LEFT_ATRIUM = np.array([0.85, 0.45, 0.55])
ATRIAL_KINDS = {
    "sinus": (RIGHT_ATRIUM, LEFT_ATRIUM, 1.0),
    "ectopic": (np.array([0.1, 0.5, -0.6]), np.array([0.5, 0.2, 0.1]), 0.9),
    "low": (np.array([0.2, -0.7, -0.1]), np.array([0.2, -0.6, 0.2]), 0.9),
}


def p_wave(heart: Heart, chest: Chest, kind: str = "sinus") -> np.ndarray:
    """One P wave (8, T) in mV, from 20 ms before its onset.

    Args:
        heart: gives P's duration and the two atria's amplitudes.
        chest: the torso.
        kind: a key of `ATRIAL_KINDS`.
    """
    right, left, scale = ATRIAL_KINDS[kind]
    duration = heart.p_duration * scale
    time = np.arange(-20, duration + 30, 1000.0 / RATE)
    centres, width = np.array([0.36, 0.64]) * duration, duration / 5.6
    dipoles = np.stack(
        [
            chest.vector(right) * heart.right_atrium,
            chest.vector(left) * heart.left_atrium,
        ],
        axis=1,
    )
    return _envelope(dipoles, centres, np.array([width, width]), time)
