"""What is measured for Lopes 2017, DAFL 2019 and DeepInversion 2020, and how it is judged.

`COMPARISONS` are run by ``make evidence``. `claims` judges them: what is subtracted from what, the
margin and the sign were fixed before the first run. A margin is a third of the paper's effect or
0.5 points, whichever is larger; of a leak, for which no paper has a number, 1 dB. No choice used
test images, and none used real images that a method says it does not have.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd

from kdlab.papers.data_free import sources
from kdlab.papers.data_free.arms import alone, student
from kdlab.papers.data_free.dream import PUBLISHED
from kdlab.papers.data_free.losses import IE
from kdlab.papers.data_free.privacy import SIZES, leak
from kdlab.papers.kd.arms import kd, labels
from kdlab.runs.claims import Claim
from kdlab.runs.differences import difference
from kdlab.runs.evidence import Comparison

Arms = dict[str, Callable[..., Any]]
BOTH = ("mnist5k", "fashion5k")
REAL, NOISE = partial(student, source=sources.real), partial(student, source=sources.gaussian)
GENERATED = partial(student, source=sources.generated)
INVERTED = partial(student, source=sources.inverted)
RECORDS = partial(student, source=sources.records)
TOP = partial(RECORDS, layers="top")
HEADLINE: Arms = {"real data": REAL, "noise": NOISE, "DAFL": GENERATED, "DeepInversion": INVERTED}
SOURCES: Arms = {
    "teacher": alone,
    "real data": REAL,
    "other images": partial(student, source=sources.other),
    "one image": partial(student, source=sources.one_image),
    "noise": NOISE,
    "shuffled pixels": partial(student, source=sources.shuffled),
    "records, top": TOP,
    "records, all": RECORDS,
    "DAFL": GENERATED,
    "DeepInversion": INVERTED,
    "ADI": partial(INVERTED, weights=PUBLISHED._replace(rival=10.0)),
}
TERMS: Arms = {  # DAFL's on and off: one-hot, activation, balance
    "none": partial(GENERATED, weights=(0.0, 0.0, 0.0)),
    "one-hot": partial(GENERATED, weights=(1.0, 0.0, 0.0)),
    "activation": partial(GENERATED, weights=(0.0, 0.1, 0.0)),
    "balance": partial(GENERATED, weights=(0.0, 0.0, IE)),
    "one-hot + activation": partial(GENERATED, weights=(1.0, 0.1, 0.0)),
    "one-hot + balance": partial(GENERATED, weights=(1.0, 0.0, IE)),
    "activation + balance": partial(GENERATED, weights=(0.0, 0.1, IE)),
    "all three": GENERATED,
}
INVERSION: Arms = {
    "class alone": partial(INVERTED, weights=PUBLISHED._replace(tv=0.0, bn=0.0)),
    "class + smooth": partial(INVERTED, weights=PUBLISHED._replace(bn=0.0)),
    "class + batch norm": partial(INVERTED, weights=PUBLISHED._replace(tv=0.0)),
    "DeepInversion": INVERTED,
}
IMAGES: Arms = {
    "real data, 100": partial(REAL, n=100),
    "real data, 500": REAL,
    "real data, 2,000": partial(REAL, n=2000),
    "DAFL, 100": partial(GENERATED, n=100),
    "DAFL, 500": GENERATED,
    "DAFL, 2,000": partial(GENERATED, n=2000),
    "DeepInversion, 100": partial(INVERTED, n=100),
    "DeepInversion, 500": INVERTED,
}
MEANS: Arms = {
    "top, means": partial(TOP, covary=False),
    "top, covariances": TOP,
    "all, means": partial(RECORDS, covary=False),
    "all, covariances": RECORDS,
}
PLAIN: Arms = {  # the teacher has no batch norm
    name: partial(SOURCES[name], net="mlp100x100") for name in ("noise", "records, all", "DAFL")
}
STANDING: Arms = {"labels": labels, "smoothing 0.1": partial(labels, smoothing=0.1), "KD": kd}
PRIVACY: Arms = {f"{n} in its class": partial(leak, size=n) for n in SIZES}
JUDGED = {"sources": SOURCES, "terms": TERMS, "inversion": INVERSION, "privacy": PRIVACY}
SEEN = {"images": IMAGES, "records": MEANS, "plain": PLAIN}
COMPARISONS = [Comparison("headline", HEADLINE, BOTH)]
COMPARISONS += [Comparison(name, arms) for name, arms in JUDGED.items()]
COMPARISONS += [Comparison(name, arms, replicates=5) for name, arms in SEEN.items()]
COMPARISONS += [Comparison("standing", STANDING, BOTH)]

NONE, NOT_READ, DI = "not in the papers", "stated; no number read", "DeepInversion"
TOLD = {  # what a claim says, and what the papers have on it; the first six are primary
    "generator": ("A generator's images teach more than noise.", "MNIST: 98.20, 88.01 % (DAFL)"),
    "inversion": (f"{DI} teaches more than DAFL.", "CIFAR-10: 93.26, 92.22 % (DataFree)"),
    "records": ("Records of all layers teach more than those of the top layer.", NOT_READ),
    "balance": ("DAFL needs its balance term.", "MNIST: 98.20 %, else far less (a reading note)"),
    "statistics": (f"{DI} needs the statistics of batch norm.", NOT_READ),
    "leak": ("A record gives away a class of one image more than a class of 100.", NONE),
    "price": (f"Real data teaches more than {DI}.", "CIFAR-10: 94.34 (DAFL), 93.26 % (DataFree)"),
    "rival": ("Images on which a rival disagrees teach more (ADI).", NOT_READ),
    "similar": ("DAFL teaches more than other real images.", "MNIST: 98.20, 94.56 % (DAFL)"),
    "one image": ("DAFL teaches more than pieces of one photograph.", NONE),
    "shuffled": ("Shuffled pixels teach more than noise.", NONE),
    "leak-bn": ("Batch norm gives away one image more than a class of 100.", NONE),
    "leak-weights": ("Weights alone give away one image more than a class of 100.", NONE),
}
ACCURACY, FEWEST, MOST = "accuracy", "1 in its class", "100 in its class"
MINUS = {  # comparison, this minus that, of which measure, smallest effect that matters
    "generator": ("headline", "DAFL", "noise", ACCURACY, 3.4),
    "inversion": ("headline", DI, "DAFL", ACCURACY, 0.5),
    "records": ("sources", "records, all", "records, top", ACCURACY, 0.5),
    "balance": ("terms", "all three", "one-hot + activation", ACCURACY, 3.4),
    "statistics": ("inversion", DI, "class + smooth", ACCURACY, 0.5),
    "leak": ("privacy", FEWEST, MOST, "records", 1.0),
    "price": ("headline", "real data", DI, ACCURACY, 0.5),
    "rival": ("sources", "ADI", DI, ACCURACY, 0.5),
    "similar": ("sources", "DAFL", "other images", ACCURACY, 1.2),
    "one image": ("sources", "DAFL", "one image", ACCURACY, 0.5),
    "shuffled": ("sources", "shuffled pixels", "noise", ACCURACY, 0.5),
    "leak-bn": ("privacy", FEWEST, MOST, "batch norm", 1.0),
    "leak-weights": ("privacy", FEWEST, MOST, "weights", 1.0),
}
FAR = ("A ResNet-50 learns from 140,000 dreamt images.", "ImageNet: 68.0 % (Table 6)")


def claims(runs: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """Return the claims on the tables {comparison: rows}, the primary ones first."""
    found = []
    for place, (name, (table, one, two, metric, margin)) in enumerate(MINUS.items()):
        x, unit = (
            difference(runs[table], one, two, metric),
            "dB" if table == "privacy" else "points",
        )
        claim = Claim(name, *TOLD[name], x, margin=margin, unit=unit, primary=place < 6)
        found.append(claim)
    why = "it needs a data set of that size"
    return [*found, Claim("imagenet", *FAR, primary=False, why=why)]
