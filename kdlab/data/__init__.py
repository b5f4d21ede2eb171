"""Data sets: every one in memory, split once, checked before anything trains.

>>> data = load("mnist5k", n_labelled=100)
>>> data.in_shape, len(data.train.y), len(data.unlabelled.y)
((1, 28, 28), 100, 2400)

`sources` and `downloads` read, `checks` refuses, `splits` divides, `loading` puts it together;
`sets` and `rows` hold and derive, `stored` lets processes share.
"""

from kdlab.data.loading import load
from kdlab.data.rows import Batch, Split, shifted
from kdlab.data.sets import Data

__all__ = ["Batch", "Data", "Split", "load", "shifted"]
