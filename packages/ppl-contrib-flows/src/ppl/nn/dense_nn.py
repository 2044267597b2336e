"""The feed-forward networks at their documented path."""

from ppl.contrib.flows.dense_nn import ConditionalDenseNN as ConditionalDenseNN
from ppl.contrib.flows.dense_nn import DenseNN as DenseNN
