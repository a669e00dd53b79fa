"""The wordings of a statement in a machine's report; the first is the commonest."""

from __future__ import annotations

PHRASES: dict[str, tuple[str, ...]] = {
    "NORM": ("Normal ECG", "No abnormality found", "Within normal limits"),
    # Rhythm
    "SR": ("Sinus rhythm", "Normal sinus rhythm", "Regular sinus rhythm"),
    "STACH": ("Sinus tachycardia", "Sinus tachycardia, rate over 100"),
    "SBRAD": ("Sinus bradycardia", "Marked sinus bradycardia", "Slow sinus rhythm"),
    "SARRH": (
        "Sinus arrhythmia",
        "Sinus rhythm with sinus arrhythmia",
        "Marked sinus arrhythmia",
    ),
    "AFIB": ("Atrial fibrillation", "Atrial fibrillation, irregular rhythm"),
    "AFLT": (
        "Atrial flutter",
        "Atrial flutter with variable AV block",
        "Atrial flutter with predominant 2:1 AV block",
        "Atrial flutter/fibrillation",
    ),
    "SVTAC": (
        "Supraventricular tachycardia",
        "Regular narrow complex tachycardia, probably supraventricular",
        "SVT",
    ),
    "PSVT": (
        "Paroxysmal supraventricular tachycardia",
        "Probable AV nodal reentrant tachycardia",
        "Narrow complex tachycardia, paroxysmal",
    ),
    "SVARR": (
        "Supraventricular arrhythmia",
        "Ectopic atrial rhythm",
        "Wandering atrial pacemaker",
        "Multifocal atrial rhythm",
    ),
    "BIGU": (
        "Bigeminy",
        "Ventricular bigeminy",
        "Bigeminal pattern of premature complexes",
        "Premature complexes in a bigeminal pattern",
    ),
    "TRIGU": (
        "Trigeminy",
        "Ventricular trigeminy",
        "Premature complexes in a trigeminal pattern",
    ),
    "PACE": (
        "Ventricular-paced rhythm",
        "Electronic ventricular pacemaker",
        "Atrial-sensed ventricular-paced rhythm",
        "AV dual-paced rhythm",
        "Pacemaker rhythm, normal function",
        "Paced rhythm",
    ),
    # Ectopic beats
    "PVC": (
        "Ventricular premature complex",
        "Premature ventricular complexes",
        "Multiple ventricular premature complexes",
        "Occasional PVCs",
        "Ventricular extrasystoles",
    ),
    "PAC": (
        "Atrial premature complex",
        "Premature atrial complexes",
        "Atrial premature complexes",
        "Occasional PACs",
        "Supraventricular extrasystoles",
    ),
    "PRC(S)": ("Premature complexes", "Premature beats of undetermined origin"),
    # Conduction
    "1AVB": (
        "First degree AV block",
        "Prolonged PR interval - first degree AV block",
        "1st degree A-V block",
        "Borderline first degree AV block",
    ),
    "LPR": ("Prolonged PR interval", "Borderline prolonged PR interval"),
    "2AVB": (
        "Second degree AV block",
        "Second degree AV block, Mobitz I (Wenckebach)",
        "Second degree AV block with 2:1 conduction",
    ),
    "3AVB": (
        "Complete AV block",
        "Third degree AV block with escape rhythm",
        "Complete heart block, AV dissociation",
    ),
    "CRBBB": (
        "Right bundle branch block",
        "RBBB",
        "Complete right bundle branch block",
        "Intraventricular conduction delay of right bundle branch block type",
    ),
    "IRBBB": (
        "Incomplete right bundle branch block",
        "Incomplete RBBB",
        "RSR' in V1 or V2, probably normal variant or incomplete RBBB",
    ),
    "CLBBB": ("Left bundle branch block", "LBBB", "Complete left bundle branch block"),
    "ILBBB": ("Incomplete left bundle branch block", "Incomplete LBBB"),
    "LAFB": (
        "Left anterior fascicular block",
        "Left axis deviation - left anterior fascicular block",
        "Left anterior hemiblock",
        "LAD, consider left anterior fascicular block",
    ),
    "LPFB": (
        "Left posterior fascicular block",
        "Right axis deviation - left posterior fascicular block",
        "Left posterior hemiblock",
    ),
    "IVCD": (
        "Intraventricular conduction delay",
        "Nonspecific intraventricular conduction delay",
        "IV conduction defect",
        "Intraventricular conduction block",
    ),
    "WPW": (
        "Ventricular preexcitation, Wolff-Parkinson-White pattern",
        "WPW pattern",
        "Short PR interval with delta wave - ventricular preexcitation",
    ),
    # Hypertrophy
    "LVH": (
        "Left ventricular hypertrophy",
        "LVH with secondary repolarization abnormality",
        "LVH with ST-T changes",
        "Left ventricular hypertrophy with strain",
    ),
    "VCLVH": (
        "Voltage criteria for left ventricular hypertrophy",
        "Minimal voltage criteria for LVH, may be normal variant",
        "LVH by voltage",
        "Borderline voltage criteria for LVH",
    ),
    "RVH": (
        "Right ventricular hypertrophy",
        "Right axis deviation and RVH",
        "RVH with secondary repolarization abnormality",
        "Consider right ventricular hypertrophy",
    ),
    "SEHYP": ("Septal hypertrophy", "Prominent septal forces, septal hypertrophy"),
    "LAO/LAE": (
        "Left atrial enlargement",
        "Left atrial abnormality",
        "Possible left atrial enlargement",
        "Left atrial overload",
    ),
    "RAO/RAE": (
        "Right atrial enlargement",
        "Right atrial abnormality",
        "Possible right atrial enlargement",
        "Right atrial overload",
    ),
    "LVOLT": (
        "Low QRS voltage",
        "Low QRS voltages in limb leads",
        "Generalized low voltage",
        "Low voltage in frontal and precordial leads",
    ),
    "HVOLT": ("High QRS voltage", "Prominent QRS voltages"),
    # Infarction
    "IMI": (
        "Inferior infarct - age undetermined",
        "Inferior myocardial infarction",
        "Old inferior infarct",
        "Inferior Q waves, inferior infarct, age undetermined",
        "Inferior infarct, possibly acute",
    ),
    "ASMI": (
        "Anteroseptal infarct - age undetermined",
        "Anteroseptal myocardial infarction",
        "Septal infarct, age undetermined",
        "Old anteroseptal infarct",
        "QS in V1-V3, anteroseptal infarct",
    ),
    "AMI": (
        "Anterior infarct - age undetermined",
        "Anterior myocardial infarction",
        "Old anterior infarct",
        "Anterior infarct, possibly acute",
    ),
    "ALMI": (
        "Anterolateral infarct - age undetermined",
        "Anterolateral myocardial infarction",
        "Extensive anterior infarct",
        "Old anterolateral infarct",
    ),
    "LMI": (
        "Lateral infarct - age undetermined",
        "Lateral myocardial infarction",
        "Old lateral infarct",
        "High lateral infarct",
    ),
    "ILMI": (
        "Inferolateral infarct - age undetermined",
        "Inferior and lateral infarct",
        "Inferolateral myocardial infarction",
    ),
    "IPMI": (
        "Inferoposterior infarct - age undetermined",
        "Inferior infarct with posterior extension",
        "Inferior-posterior infarct",
    ),
    "IPLMI": (
        "Inferoposterolateral infarct - age undetermined",
        "Inferior infarct with posterior and lateral extension",
    ),
    "PMI": (
        "Posterior infarct - age undetermined",
        "Tall R in V1-V2, posterior infarct",
        "Posterior myocardial infarction",
    ),
    "INJAS": (
        "Anteroseptal ST depression, subendocardial injury",
        "Subendocardial injury in anteroseptal leads",
        "Anteroseptal injury pattern",
    ),
    "INJAL": (
        "Anterolateral ST depression, subendocardial injury",
        "Subendocardial injury in anterolateral leads",
        "Anterolateral injury pattern",
    ),
    "INJIN": (
        "Inferior ST depression, subendocardial injury",
        "Subendocardial injury in inferior leads",
    ),
    "INJLA": (
        "Lateral ST depression, subendocardial injury",
        "Subendocardial injury in lateral leads",
    ),
    "INJIL": (
        "Inferolateral ST depression, subendocardial injury",
        "Subendocardial injury in inferolateral leads",
    ),
    "ANEUR": (
        "ST-T changes compatible with ventricular aneurysm",
        "Persistent anterior ST elevation, consider ventricular aneurysm",
    ),
    "QWAVE": ("Q waves present", "Abnormal Q waves", "Prominent Q waves"),
    "ABQRS": (
        "Abnormal QRS",
        "Poor R wave progression",
        "QRS contour abnormality",
        "Late precordial R/S transition",
    ),
    # Repolarisation
    "ISC_": (
        "ST-T changes may be due to myocardial ischemia",
        "ST depression and T inversion, ischemia or strain",
        "Nonspecific ischemic ST-T changes",
        "Repolarization abnormality suggests ischemia",
    ),
    "ISCAL": (
        "Anterolateral T wave changes may be due to myocardial ischemia",
        "T inversion in anterolateral leads, ischemia",
        "Anterior and lateral ischemia",
    ),
    "ISCAN": (
        "Anterior T wave changes may be due to myocardial ischemia",
        "T inversion in anterior leads, ischemia",
    ),
    "ISCAS": (
        "Anteroseptal T wave changes may be due to myocardial ischemia",
        "T inversion in anteroseptal leads, ischemia",
        "Septal ischemia",
    ),
    "ISCIN": (
        "Inferior T wave changes may be due to myocardial ischemia",
        "T inversion in inferior leads, ischemia",
        "Inferior ischemia",
    ),
    "ISCIL": (
        "Inferior and lateral T wave changes may be due to myocardial ischemia",
        "T inversion in inferolateral leads, ischemia",
        "Inferolateral ischemia",
    ),
    "ISCLA": (
        "Lateral T wave changes may be due to myocardial ischemia",
        "T inversion in lateral leads, ischemia",
        "Lateral ischemia",
    ),
    "STD_": (
        "Nonspecific ST depression",
        "ST depression",
        "Junctional ST depression",
        "Minimal ST depression",
    ),
    "STE_": (
        "Nonspecific ST elevation",
        "ST elevation, probably early repolarization",
        "Minor ST elevation",
    ),
    "NST_": (
        "Nonspecific ST changes",
        "Nonspecific ST abnormality",
        "Minor nonspecific ST segment changes",
        "Nonspecific ST-T abnormality",
    ),
    "NDT": (
        "Nonspecific T wave abnormality",
        "Nonspecific T wave changes",
        "Nondiagnostic T wave abnormalities",
        "Borderline T wave abnormalities",
        "Nonspecific ST-T wave changes",
    ),
    "NT_": (
        "Nonspecific T wave changes",
        "Minor T wave changes",
        "Nonspecific T wave abnormality",
    ),
    "TAB_": ("T wave abnormality", "Abnormal T waves"),
    "LOWT": (
        "Low amplitude T waves",
        "Diffuse T wave flattening",
        "T wave flattening",
    ),
    "INVT": ("Inverted T waves", "T wave inversions", "T wave inversion"),
    "DIG": ("Digitalis effect", "ST-T changes suggest digitalis effect"),
    "LNGQT": (
        "Prolonged QT interval",
        "Long QTc interval",
        "QT interval prolonged for rate",
        "Borderline prolonged QT interval",
    ),
    "EL": (
        "ST-T changes, consider electrolyte abnormality",
        "Electrolyte disturbance or drug effect",
        "Tall peaked T waves, consider hyperkalemia",
        "Consider hypokalemia",
    ),
}
