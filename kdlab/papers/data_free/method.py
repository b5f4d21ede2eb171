"""Distillation without the data. Lopes, Fenu, Starner 2017, arXiv:1710.07535, section 3. Chen et
al. 2019 (DAFL), arXiv:1904.01186, section 3. Yin et al. 2020, arXiv:1912.08795, section 3.

    L_S = KL(p_T || q_T) on made images x
    L_records = mean (relu(a*) - relu(a(x)))^2,  a* ~ N(mu_c, Sigma_c)
    L_DAFL = CE(z_t, argmax z_t) - alpha mean |f_t| - beta H(mean softmax(z_t)),  x = G(noise)
    L_DI = CE(z_t, y) + a_tv R_TV(x) + a_l2 |x| + a_bn sum_l (|mean_l - mu_l| + |var_l - s_l|)
    L_ADI = L_DI + a_c (1 - JS(p_T, q_T))

z_t, f_t: the teacher's logits and last features; mu_l, s_l: running statistics of its batch norm
layer l; mean_l, var_l: those of what the made images send into it. `losses` holds the terms,
`records`, `dream` and `generator` make the images.

Departures. One student loss for all three, that of notebook 00 at T = 4, without labels: Lopes et
al. take T = 8, DAFL T = 1, DeepInversion T = 3. Records: logits and the maps behind each block, the
mean and, up to 256 units, the covariance; graph spectra are left out, and no T divides what is
recorded. DAFL: the generator learns first and the student afterwards, on images of its later half;
the balance term is in nats, its weight 5 / ln 10 that of the official decimal logarithm. L_a is a
mean, as in the code. DeepInversion: 100 updates a batch instead of 2,000, at twice the rate; no
flips of grey images; the copy of lowest loss is kept, hooks are taken away. ADI: the true JS, not
the reversed and clamped one of the code, and a rival that learns along.
"""

from collections.abc import Callable
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from kdlab.data import Batch
from kdlab.measure import logits_of
from kdlab.models import logits_in
from kdlab.papers.data_free import sources
from kdlab.papers.kd.method import kd_loss
from kdlab.train.method import Knob, n_classes_of
from kdlab.train.worlds import Replicate

SOURCES: dict[str, Callable[..., sources.Made]] = {
    "DAFL": sources.generated,
    "DeepInversion": sources.inverted,
    "records": sources.records,
    "noise": sources.gaussian,
    "one image": sources.one_image,
}


class DataFree(nn.Module):
    """A student that never looks at the images of its data, only at made ones.

    Row i of a batch stands for made image i, counted round and round; pixels and labels of the
    batch are not read.

    Args:
        student: from images to logits.
        x, z: made images (N, C, H, W) and the teacher's logits (N, K) for them.
        source: where they come from, one of SOURCES.
        images: how many, N, which `of` makes.
        T: temperature of both networks.

    Raises:
        ValueError: no images, not a row of logits for each, or a value out of its range.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (
        Knob("source", "DAFL", "where the images come from", choices=tuple(SOURCES)),
        Knob("images", 500, "how many images are made", 1, 10_000),
        Knob("T", 4.0, "temperature: how far the teacher's answers are softened", 0.5, 50.0),
    )
    x: Tensor
    z: Tensor

    def __init__(
        self, student: nn.Module, x: Tensor, z: Tensor, source: str = "DAFL", images: int = 500,
        T: float = 4.0,
    ) -> None:  # fmt: skip
        super().__init__()
        for knob, value in zip(self.knobs, (source, images, T), strict=True):
            knob.check(value)
        if not len(x) or len(x) != len(z):
            raise ValueError(f"{len(x)} images and {len(z)} rows of logits; give one for each.")
        self.student, self.T = student, T
        self.n_classes = n_classes_of(student)
        self.register_buffer("x", x)
        self.register_buffer("z", z)

    @classmethod
    def of(cls, r: Replicate, source: str = "DAFL", images: int = 500, T: float = 4.0) -> Self:
        """Make the images of a replicate, whose teacher is that of notebook 11."""
        x, _ = SOURCES[source](r, int(images))
        return cls(r.student(), x, logits_of(sources.teacher(r).net, x), source, images, T)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        rows = torch.remainder(batch.index, len(self.x))
        return {"soft": kd_loss(logits_in(self.student(self.x[rows])), self.z[rows], self.T)}

    def predict(self, x: Tensor) -> Tensor:
        return logits_in(self.student(x))
