"""The 71 SCP-ECG statements of PTB-XL: their groups and how often they are given.

Codes, groups and descriptions are those of `scp_statements.csv` (PTB-XL 1.0.3, Wagner
et al. 2020, CC BY 4.0); the counts are the published ones over 21,837 records.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    """One row of `scp_statements.csv`."""

    code: str
    diagnostic: bool
    form: bool
    rhythm: bool
    diagnostic_class: str  # "" unless diagnostic
    diagnostic_subclass: str
    count: int  # records of PTB-XL that carry it
    description: str


# code | groups: d(iagnostic) f(orm) r(hythm) | class | subclass | records | description
_TABLE = """\
NDT|df|STTC|STTC|1829|non-diagnostic T abnormalities
NST_|df|STTC|NST_|770|non-specific ST changes
DIG|df|STTC|STTC|181|digitalis-effect
LNGQT|df|STTC|STTC|118|long QT-interval
NORM|d|NORM|NORM|9528|normal ECG
IMI|d|MI|IMI|2685|inferior myocardial infarction
ASMI|d|MI|AMI|2363|anteroseptal myocardial infarction
LVH|d|HYP|LVH|2137|left ventricular hypertrophy
LAFB|d|CD|LAFB/LPFB|1626|left anterior fascicular block
ISC_|d|STTC|ISC_|1275|non-specific ischemic
IRBBB|d|CD|IRBBB|1118|incomplete right bundle branch block
1AVB|d|CD|_AVB|797|first degree AV block
IVCD|d|CD|IVCD|789|non-specific intraventricular conduction disturbance (block)
ISCAL|d|STTC|ISCA|660|ischemic in anterolateral leads
CRBBB|d|CD|CRBBB|542|complete right bundle branch block
CLBBB|d|CD|CLBBB|536|complete left bundle branch block
ILMI|d|MI|IMI|479|inferolateral myocardial infarction
LAO/LAE|d|HYP|LAO/LAE|427|left atrial overload/enlargement
AMI|d|MI|AMI|354|anterior myocardial infarction
ALMI|d|MI|AMI|290|anterolateral myocardial infarction
ISCIN|d|STTC|ISCI|219|ischemic in inferior leads
INJAS|d|MI|AMI|215|subendocardial injury in anteroseptal leads
LMI|d|MI|LMI|201|lateral myocardial infarction
ISCIL|d|STTC|ISCI|179|ischemic in inferolateral leads
LPFB|d|CD|LAFB/LPFB|177|left posterior fascicular block
ISCAS|d|STTC|ISCA|170|ischemic in anteroseptal leads
INJAL|d|MI|AMI|148|subendocardial injury in anterolateral leads
ISCLA|d|STTC|ISCA|142|ischemic in lateral leads
RVH|d|HYP|RVH|126|right ventricular hypertrophy
ANEUR|d|STTC|STTC|104|ST-T changes compatible with ventricular aneurysm
RAO/RAE|d|HYP|RAO/RAE|99|right atrial overload/enlargement
EL|d|STTC|STTC|97|electrolytic disturbance or drug (former EDIS)
WPW|d|CD|WPW|80|Wolf-Parkinson-White syndrome
ILBBB|d|CD|ILBBB|77|incomplete left bundle branch block
IPLMI|d|MI|IMI|51|inferoposterolateral myocardial infarction
ISCAN|d|STTC|ISCA|44|ischemic in anterior leads
IPMI|d|MI|IMI|33|inferoposterior myocardial infarction
SEHYP|d|HYP|SEHYP|30|septal hypertrophy
INJIN|d|MI|IMI|18|subendocardial injury in inferior leads
INJLA|d|MI|AMI|17|subendocardial injury in lateral leads
PMI|d|MI|PMI|17|posterior myocardial infarction
3AVB|d|CD|_AVB|16|third degree AV block
INJIL|d|MI|IMI|15|subendocardial injury in inferolateral leads
2AVB|d|CD|_AVB|14|second degree AV block
ABQRS|f|| |3327|abnormal QRS
PVC|f|| |1146|ventricular premature complex
STD_|f|| |1009|non-specific ST depression
VCLVH|f|| |875|voltage criteria (QRS) for left ventricular hypertrophy
QWAVE|f|| |548|Q waves present
LOWT|f|| |438|low amplitude T-waves
NT_|f|| |424|non-specific T-wave changes
PAC|f|| |398|atrial premature complex
LPR|f|| |340|prolonged PR interval
INVT|f|| |294|inverted T-waves
LVOLT|f|| |182|low QRS voltages in the frontal and horizontal leads
HVOLT|f|| |62|high QRS voltage
TAB_|f|| |35|T-wave abnormality
STE_|f|| |28|non-specific ST elevation
PRC(S)|f|| |10|premature complex(es)
SR|r|| |16782|sinus rhythm
AFIB|r|| |1514|atrial fibrillation
STACH|r|| |826|sinus tachycardia
SARRH|r|| |772|sinus arrhythmia
SBRAD|r|| |637|sinus bradycardia
PACE|r|| |296|normal functioning artificial pacemaker
SVARR|r|| |157|supraventricular arrhythmia
BIGU|r|| |82|bigeminal pattern (unknown origin, SV or Ventricular)
AFLT|r|| |73|atrial flutter
SVTAC|r|| |27|supraventricular tachycardia
PSVT|r|| |24|paroxysmal supraventricular tachycardia
TRIGU|r|| |20|trigeminal pattern (unknown origin, SV or Ventricular)
"""


def _rows() -> dict[str, Statement]:
    """Read the table above."""
    rows = {}
    for line in _TABLE.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        code, groups, group, subclass, count, description = cells
        rows[code] = Statement(
            code,
            "d" in groups,
            "f" in groups,
            "r" in groups,
            group,
            subclass,
            int(count),
            description,
        )
    return rows


STATEMENTS: dict[str, Statement] = _rows()
