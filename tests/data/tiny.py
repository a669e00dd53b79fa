"""All five datasets in a few records each, the same bytes on every machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
CODES = ("426783006", "164889003", "59118001")  # sinus rhythm, AF, right bundle branch

STATEMENTS = """\
,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NORM,normal ECG,1.0,,,NORM,NORM
IMI,inferior myocardial infarction,1.0,,,MI,IMI
LVOLT,low QRS voltages,,1.0,,,
SR,sinus rhythm,,,1.0,,
"""
PTBXL = """\
ecg_id,patient_id,age,sex,report,scp_codes,strat_fold,filename_lr,filename_hr,device
1,11.0,56.0,1,sinusrhythmus,"{'NORM': 100.0, 'SR': 0.0}",3,r100/1_lr,r500/1_hr,CS-12
2,12.0,,0,lagetyp normal,"{'IMI': 50.0, 'LVOLT': 0.0}",9,r100/2_lr,r500/2_hr,
3,13.0,70.0,0,,"{'SR': 0.0}",10,r100/3_lr,r500/3_hr,AT-6
4,14.0,30.0,0,too short,"{'SR': 0.0}",1,r100/4_lr,r500/4_hr,AT-6
"""
RECORDS = """\
subject_id,study_id,file_name,ecg_time,path
1,101,101,2180-07-23 08:44:00,files/s101/101
1,102,102,2181-07-23 08:44:00,files/s102/102
2,103,103,2182-07-23 08:44:00,files/s103/103
3,104,104,2183-07-23 08:44:00,files/s104/104
"""
REPORTS = """\
subject_id,study_id,cart_id,report_0,report_1,report_2,rr_interval
3,104,7,Sinus rhythm,,,659
1,101,7,Sinus rhythm,Normal ECG,,659
2,103,7,*** Atrial fibrillation,,Abnormal EKG.,659
1,102,7,Sinus rhythm,Normal ECG,,659
"""
OWN = """\
path,text,labels,subject,split,sampling_rate,units,site
w/a,sinus rhythm,SR,p1,train,,,x
b.npy,,SR|AF,p2,test,500,uV,
c.npy,,-,p3,test,500,uV,y
"""
NAMES = """\
Acronym Name,Full Name,Snomed_CT
SR,Sinus Rhythm,426783006
AFIB,Atrial Fibrillation,164889003
RBBB,right bundle branch block,59118001
"""


def digital(seed: int, samples: int) -> np.ndarray:
    """Twelve leads in microvolts, int16 (12, T)."""
    t, lead = np.arange(samples), np.arange(12)[:, None]
    return ((t * (7 + lead) + 131 * seed) % 1901 - 950 + lead).astype(np.int16)


def write_record(
    path: Path, seed: int, samples: int = 5000, comments: tuple[str, ...] = ()
) -> None:
    """Write one WFDB record of format 16 at 500 Hz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    signal = digital(seed, samples)  # (12, T)
    lines = [f"{path.name} 12 500 {samples}"]
    for lead, row in zip(LEADS, signal, strict=True):
        checksum = int(row.sum(dtype=np.int64).astype(np.int16))
        lines.append(f"{path.name}.dat 16 1000/mV 16 0 {row[0]} {checksum} 0 {lead}")
    path.with_name(path.name + ".hea").write_text("\n".join([*lines, *comments]) + "\n")
    path.with_name(path.name + ".dat").write_bytes(signal.T.astype("<i2").tobytes())


def write_all(root: Path) -> dict[str, Path]:
    """Write every dataset under `root`.

    Returns:
        What `open_or_pack` takes as the root of each.
    """
    for name in ("ptbxl", "mimic", "csn", "own"):
        (root / name).mkdir(parents=True)
    (root / "ptbxl" / "scp_statements.csv").write_text(STATEMENTS)
    (root / "ptbxl" / "ptbxl_database.csv").write_text(PTBXL)
    for i in (1, 2, 3):
        write_record(root / "ptbxl" / "r500" / f"{i}_hr", i)
    write_record(root / "ptbxl" / "r500" / "4_hr", 4, samples=4000)
    (root / "mimic" / "record_list.csv").write_text(RECORDS)
    (root / "mimic" / "machine_measurements.csv").write_text(REPORTS)
    for i in (101, 102, 103):
        write_record(root / "mimic" / "files" / f"s{i}" / str(i), i)
    (root / "csn" / "ConditionNames_SNOMED-CT.csv").write_text(NAMES)
    for i in range(4):
        known = ",".join(CODES[: 1 + i % 3])
        comments = (f"#Age: {40 + i}", "#Sex: Male", f"#Dx: {known}")
        write_record(
            root / "csn" / "WFDBRecords" / "01" / "010" / f"JS{i:05d}",
            i,
            comments=comments if i < 3 else ("#Dx: 99",),
        )
        write_record(
            root / "cpsc2018" / "training" / "cpsc_2018" / "g1" / f"A{i:04d}",
            10 + i,
            samples=4000 + 2500 * i,
            comments=comments,
        )
    (root / "own" / "mine.csv").write_text(OWN)
    write_record(root / "own" / "w" / "a", 1)
    for i, name in enumerate("bc"):
        np.save(root / "own" / f"{name}.npy", digital(i, 5000))
    return {
        "ptbxl": root / "ptbxl",
        "mimic": root / "mimic",
        "csn": root / "csn",
        "cpsc2018": root / "cpsc2018",
        "own": root / "own" / "mine.csv",
    }
