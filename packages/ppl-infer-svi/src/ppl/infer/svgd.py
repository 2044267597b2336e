"""``SVGD`` at the path where programs look for it."""

from ppl.infer.particles import vectorize as vectorize
from ppl.infer.svi.svgd import SVGD as SVGD
from ppl.infer.svi.svgd import IMQSteinKernel as IMQSteinKernel
from ppl.infer.svi.svgd import RBFSteinKernel as RBFSteinKernel
from ppl.infer.svi.svgd import SteinKernel as SteinKernel
