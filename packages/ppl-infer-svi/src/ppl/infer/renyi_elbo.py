"""``RenyiELBO`` at the path where programs look for it."""

from ppl.infer.svi.elbo.renyi_elbo import RenyiELBO as RenyiELBO
