"""The conditions of Chapman-Shaoxing-Ningbo: acronyms, SNOMED-CT codes, what they do.

The three columns of `ConditionNames_SNOMED-CT.csv` with its faults kept: several
acronyms share one code (164909002, 164865005, 698252002, 195101003), and acronyms hide
in one another (VB in AVB, ST in STTC). The counts are rounded from what is published of
the 45,152 records; 0 stands for "named in the table, never or hardly used".
"""

from __future__ import annotations

from dataclasses import dataclass

from mccgaa_twin import csn_effects as s
from mccgaa_twin import rhythm_effects as r
from mccgaa_twin.findings import Change


@dataclass(frozen=True)
class Condition:
    """One row of the table, and how the twin makes it."""

    acronym: str
    name: str
    snomed: str
    count: int
    statements: tuple[str, ...] = ()  # PTB-XL statements that stand for it
    change: Change | None = None  # what no PTB-XL statement does


RHYTHMS = (
    Condition("SB", "Sinus Bradycardia", "426177001", 16559, ("SBRAD",)),
    Condition("SR", "Sinus Rhythm", "426783006", 8125, ("SR",)),
    Condition("AFIB", "Atrial Fibrillation", "164889003", 1780, ("AFIB",)),
    Condition("ST", "Sinus Tachycardia", "427084000", 7254, ("STACH",)),
    Condition("AF", "Atrial Flutter", "164890007", 8060, ("AFLT",)),
    Condition("SA", "Sinus Irregularity", "427393009", 2550, ("SARRH",)),
    Condition("SVT", "Supraventricular Tachycardia", "426761007", 720, ("SVTAC",)),
    Condition("AT", "Atrial Tachycardia", "713422000", 300, (), r.atrial_tachycardia),
    Condition(
        "AVNRT",
        "Atrioventricular  Node Reentrant Tachycardia",
        "233896004",
        16,
        ("SVTAC",),
    ),
    Condition(
        "AVRT", "Atrioventricular Reentrant Tachycardia", "233897008", 8, ("SVTAC",)
    ),
    Condition(
        "SAAWR", "Sinus Atrium to Atrial Wandering Rhythm", "195101003", 7, ("SVARR",)
    ),
)
CONDITIONS = (
    Condition("1AVB", "1 degree atrioventricular block", "270492004", 1140, ("1AVB",)),
    Condition("2AVB", "2 degree atrioventricular block", "195042002", 25, ("2AVB",)),
    Condition(
        "2AVB1",
        "2 degree atrioventricular block(Type one)",
        "54016002",
        12,
        ("2AVB",),
        s.wenckebach,
    ),
    Condition(
        "2AVB2",
        "2 degree atrioventricular block(Type two)",
        "28189009",
        4,
        ("2AVB",),
        s.mobitz,
    ),
    Condition("3AVB", "3 degree atrioventricular block", "27885002", 10, ("3AVB",)),
    Condition("ABI", "atrial bigeminy", "251173003", 3, ("BIGU",), s.atrial_pattern),
    Condition("ALS", "Axis left shift", "39732003", 1545, (), s.axis_left),
    Condition("APB", "atrial premature beats", "284470004", 1312, ("PAC",)),
    Condition("AQW", "abnormal Q wave", "164917005", 1063, ("QWAVE",)),
    Condition("ARS", "Axis right shift", "47665007", 853, (), s.axis_right),
    Condition("AVB", "atrioventricular block", "233917008", 215, ("1AVB",)),
    Condition(
        "CCR", "countercolockwise rotation", "251199005", 162, (), s.turn_against_clock
    ),
    Condition("CR", "colockwise rotation", "251198002", 76, (), s.turn_clockwise),
    Condition(
        "ERV",
        "Early repolarization of the ventricles",
        "428417006",
        110,
        (),
        s.early_repolarisation,
    ),
    Condition("FQRS", "fQRS Wave", "164942001", 3, (), s.fragment),
    Condition("IDC", "Interior differences conduction", "698252002", 700, ("IVCD",)),
    Condition("IVB", "Intraventricular block", "698252002", 0, ("IVCD",)),
    Condition(
        "JEB", "junctional escape beat", "426995002", 40, (), r.junctional_escape
    ),
    Condition("JPT", "junctional premature beat", "251164006", 4, ("PAC",)),
    Condition("LBBB", "left bundle branch block", "164909002", 240, ("CLBBB",)),
    Condition("LBBBB", "left back bundle branch block", "164909002", 0, ("LPFB",)),
    Condition("LFBBB", "left front bundle branch block", "164909002", 0, ("LAFB",)),
    Condition("LVH", "left ventricle hypertrophy", "164873001", 632, ("LVH",)),
    Condition(
        "LVQRSAL", "lower voltage QRS in all lead", "251146004", 1043, ("LVOLT",)
    ),
    Condition(
        "LVQRSCL",
        "lower voltage QRS in chest lead",
        "251148003",
        3,
        (),
        s.low_chest_voltage,
    ),
    Condition(
        "LVQRSLL",
        "lower voltage QRS in limb lead",
        "251147008",
        5,
        (),
        s.low_limb_voltage,
    ),
    Condition("MI", "myocardial infarction", "164865005", 170, ("ASMI",)),
    Condition("MIBW", "myocardial infraction in back wall", "164865005", 0, ("PMI",)),
    Condition(
        "MIFW", "Myocardial infgraction in the front wall", "164865005", 0, ("AMI",)
    ),
    Condition(
        "MILW", "Myocardial infraction in the lower wall", "164865005", 0, ("IMI",)
    ),
    Condition(
        "MISW", "Myocardial infraction in the side wall", "164865005", 0, ("LMI",)
    ),
    Condition("PRIE", "PR interval extension", "164947007", 52, ("LPR",)),
    Condition("PWC", "P wave Change", "164912004", 95, ("LAO/LAE",)),
    Condition("QTIE", "QT interval extension", "111975006", 394, ("LNGQT",)),
    Condition("RAH", "right atrial hypertrophy", "446358003", 36, ("RAO/RAE",)),
    Condition("RBBB", "right bundle branch block", "59118001", 1096, ("CRBBB",)),
    Condition("RVH", "right ventricle hypertrophy", "89792004", 106, ("RVH",)),
    Condition("STDD", "ST drop down", "429622005", 1668, ("STD_",)),
    Condition("STE", "ST extension", "164930006", 300, ("STE_",)),
    Condition("STTC", "ST-T Change", "428750005", 1158, ("ISC_",)),
    Condition("STTU", "ST tilt up", "164931005", 490, (), s.tilt_st_up),
    Condition("TWC", "T wave Change", "164934002", 7043, ("NT_",)),
    Condition("TWO", "T wave opposite", "59931005", 2877, ("INVT",)),
    Condition("UW", "U wave", "164937009", 150, (), s.u_wave),
    Condition(
        "VB", "ventricular bigeminy", "11157007", 10, ("BIGU",), s.ventricular_pattern
    ),
    Condition(
        "VEB", "ventricular escape beat", "75532003", 30, (), r.ventricular_escape
    ),
    Condition("VFW", "ventricular fusion wave", "13640000", 2, ("PVC",)),
    Condition("VPB", "ventricular premature beat", "17338001", 1100, ("PVC",)),
    Condition("VPE", "ventricular preexcitation", "195060002", 6, ("WPW",)),
    Condition("VET", "ventricular escape trigeminy", "251180001", 3, ("TRIGU",)),
    Condition(
        "WAVN",
        "Wandering in the atrioventricalualr node",
        "195101003",
        0,
        ("SVARR",),
    ),
    Condition("WPW", "WPW", "74390002", 70, ("WPW",)),
)

# Codes that headers use and the table lacks; a record with one is dropped from the
# published labels. Share of records, and statements that make it.
UNMAPPED: tuple[tuple[str, float, tuple[str, ...]], ...] = (
    ("55827005", 0.10, ("VCLVH",)),  # high left ventricular voltage
    ("55930002", 0.12, ("NST_",)),  # ST segment change
    ("427172004", 0.03, ("PVC",)),  # premature ventricular contractions
    ("251223006", 0.01, ("RAO/RAE",)),  # tall P wave
)
