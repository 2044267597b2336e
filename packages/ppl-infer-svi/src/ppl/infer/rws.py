"""``ReweightedWakeSleep`` at the path where programs look for it."""

from ppl.infer.svi.elbo.reweighted_wake_sleep import ReweightedWakeSleep as ReweightedWakeSleep
