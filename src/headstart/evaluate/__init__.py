"""Evaluate: metrics with intervals, the sealed test, and the verdict. Knows nothing of models."""

from headstart.evaluate.choose import better as better
from headstart.evaluate.choose import choose as choose
from headstart.evaluate.intervals import bootstrap as bootstrap
from headstart.evaluate.intervals import interval as interval
from headstart.evaluate.judge import Judgement as Judgement
from headstart.evaluate.judge import judge as judge
from headstart.evaluate.measure import confusion as confusion
from headstart.evaluate.measure import measure as measure
from headstart.evaluate.measure import per_class as per_class
from headstart.evaluate.metrics import METRICS as METRICS
from headstart.evaluate.metrics import Metric as Metric
from headstart.evaluate.metrics import metric as metric
