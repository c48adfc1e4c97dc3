"""Evaluate: metrics with intervals, the sealed test, and the verdict. Knows nothing of models."""

from headstart.evaluate.abstention import abstention as abstention
from headstart.evaluate.calibration import calibration as calibration
from headstart.evaluate.checks import check_leak as check_leak
from headstart.evaluate.checks import check_unseen as check_unseen
from headstart.evaluate.choose import better as better
from headstart.evaluate.choose import choose as choose
from headstart.evaluate.comparisons import compare as compare
from headstart.evaluate.comparisons import compare_pairs as compare_pairs
from headstart.evaluate.crossval import cross_validated as cross_validated
from headstart.evaluate.crossval import plan_folds as plan_folds
from headstart.evaluate.diagnosis import diagnose as diagnose
from headstart.evaluate.evidence import Evidence as Evidence
from headstart.evaluate.evidence import evidence_of as evidence_of
from headstart.evaluate.intervals import bootstrap as bootstrap
from headstart.evaluate.intervals import interval as interval
from headstart.evaluate.judge import Judgement as Judgement
from headstart.evaluate.judge import judge as judge
from headstart.evaluate.labelcurve import fit_curve as fit_curve
from headstart.evaluate.labels import labels_for_gain as labels_for_gain
from headstart.evaluate.labels import labels_saved as labels_saved
from headstart.evaluate.measure import confusion as confusion
from headstart.evaluate.measure import measure as measure
from headstart.evaluate.measure import per_class as per_class
from headstart.evaluate.metrics import METRICS as METRICS
from headstart.evaluate.metrics import Metric as Metric
from headstart.evaluate.metrics import metric as metric
