"""What every way to distil shares, made before the clock starts."""

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision import transforms

from kdlab.data import Batch, Data, Split
from kdlab.models import build
from kdlab.train.recipe import Recipe
from kdlab.train.teachers import Frozen

T, ALPHA = 4.0, 0.9


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision keeps them: bytes that become a picture when asked for."""

    def __init__(self, data: Data, part: Split) -> None:
        pixels = (data.images(part.x) * 255).round().byte()
        self.pixels = pixels.permute(0, 2, 3, 1).numpy()  # (N, H, W, C)
        self.labels = part.y.tolist()
        steps = [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(np.squeeze(self.pixels[row]))
        return self.transform(picture), self.labels[row]


@dataclass(frozen=True)
class Setting:
    """What all ways share. Build it with `prepare`: nothing in it is timed."""

    data: Data
    teacher: Frozen  # with its answers for the stored images, as its file holds them
    recipe: Recipe
    student: str
    pictures: Pictures  # to learn from
    test_pictures: Pictures
    log_p: Tensor  # (N, C) log p_T of the teacher, by row
    rates: list[float]  # learning rate of every update

    def new_student(self, seed: int) -> nn.Module:
        """Return the untrained student of this seed."""
        return build(self.student, self.data.n_classes, self.data.in_shape, seed=seed)


def prepare(data: Data, teacher: Frozen, recipe: Recipe, student: str = "cnn4") -> Setting:
    """Return the setting in which `student` learns ``data.train`` from `teacher`.

    Raises:
        ValueError: the recipe changes more than the epochs, or rows are left over at the end of
            an epoch: the ways would no longer do the same.
    """
    n = len(data.train.y)
    if recipe != Recipe(epochs=recipe.epochs):
        raise ValueError(f"the bench got {recipe}; it compares the default one, give epochs only.")
    if n % recipe.batch:
        raise ValueError(f"the bench got {n} images; give a multiple of the batch, {recipe.batch}.")
    log_p = F.log_softmax(teacher(Batch(*data.train, stored=True, progress=0.0)) / T, dim=1)
    rates = recipe.rates(recipe.total_steps(n))
    pictures = Pictures(data, data.train), Pictures(data, data.test)
    return Setting(data, teacher, recipe, student, *pictures, log_p, rates)
