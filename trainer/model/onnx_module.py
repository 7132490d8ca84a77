"""A model as one network from raw columns to predictions, for exports: the encoder's arithmetic in torch.

What the encoder does in numpy, `Whole` does in float64 tensor operations that ONNX has: scaling, the smooth clip,
missing values, the parts of a time. Text is numbered before it comes here.
"""

import torch
from torch import Tensor, nn

from traind.data.encoding.encoder import Feature
from traind.trainer.model.model import Model
from traind.trainer.network.objective import predictions

DAY_S = 86_400.0


class Whole(nn.Module):
    """The model behind its encoder.

    Args of forward: one tensor (rows,) for each column of `columns`: float64 for numbers and for times (seconds since
    1970), NaN where missing; int64 index for text. Then one for each column of numbers with words among them: int64,
    0 where there is none, then the place of the word in `Column.words`, from 1.
    Returns what `objective.predictions` does.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = model.network
        self.recipe = model.recipe
        self.columns = [column.name for column in model.encoder.columns]
        self.features = model.encoder.features
        self.words = {column.name: column.words for column in model.encoder.columns if column.words}
        self.texts = [vocabulary.column for vocabulary in model.encoder.vocabularies]
        self.bags = [rule.column for rule in model.encoder.texts]

    def forward(self, *cells: Tensor) -> Tensor:
        """Return (rows,) float64 values, or (rows, classes) probabilities."""
        by_name = dict(zip(self.columns, cells, strict=False))
        words = dict(zip(self.words, cells[len(self.columns) :], strict=True))
        rows = cells[0].shape[0]
        numbers = [self._numeric(by_name, words, feature).float() for feature in self.features]
        texts = [by_name[name] for name in self.texts]
        encoded = torch.stack(numbers, dim=1) if numbers else cells[0].new_zeros((rows, 0), dtype=torch.float32)
        indices = torch.stack(texts, dim=1) if texts else cells[0].new_zeros((rows, 0), dtype=torch.int64)
        indices = torch.cat([indices, *(by_name[name] for name in self.bags)], dim=1) if self.bags else indices
        return predictions(self.recipe, self.network(encoded, indices))

    def _numeric(self, cells: dict[str, Tensor], words: dict[str, Tensor], feature: Feature) -> Tensor:
        """Return one numeric feature (rows,)."""
        found = words.get(feature.column)
        if found is not None and feature.part == "word":
            return found == 1 + self.words[feature.column].index(feature.word)
        values = numeric(cells[feature.column], feature)
        return values & (found == 0) if found is not None and feature.part == "missing" else values


def numeric(cells: Tensor, feature: Feature) -> Tensor:
    """Return one numeric feature (rows,) of a column's cells, as `Encoder.encode` does."""
    if feature.part == "missing":
        return torch.isnan(cells)
    assert feature.scale is not None
    values = cells if feature.part == "value" else time_part(cells, feature.part)
    scaled = (values - feature.scale.center) * feature.scale.factor
    if feature.is_linear:
        return torch.where(torch.isnan(scaled), torch.zeros_like(scaled), scaled.clamp(-1e6, 1e6))
    return smooth_clip(scaled)


def smooth_clip(z: Tensor) -> Tensor:
    """Return `z / sqrt(1 + (z / 3)^2)`, 0 where missing."""
    bounded = z.clamp(-1e150, 1e150)
    clipped = bounded / torch.sqrt(1.0 + (bounded / 3.0) * (bounded / 3.0))
    return torch.where(torch.isnan(z), torch.zeros_like(z), clipped)


def time_part(seconds: Tensor, part: str) -> Tensor:
    """Return one part of each time in UTC: day, hour, weekday, month, day_of_month. NaN where missing."""
    if part == "day":
        return seconds / DAY_S
    days = torch.floor(seconds / DAY_S)
    if part == "hour":
        return (seconds - days * DAY_S) / 3_600.0
    if part == "weekday":
        return days + 3.0 - 7.0 * torch.floor((days + 3.0) / 7.0)
    month, day_of_month = _civil(days)
    return month if part == "month" else day_of_month


def _civil(days: Tensor) -> tuple[Tensor, Tensor]:
    """Return month and day of month of days since 1970 (H. Hinnant, chrono-compatible low-level date algorithms)."""
    shifted = days + 719_468.0
    day_of_era = shifted - 146_097.0 * torch.floor(shifted / 146_097.0)
    year_of_era = torch.floor(
        (
            day_of_era
            - torch.floor(day_of_era / 1_460.0)
            + torch.floor(day_of_era / 36_524.0)
            - torch.floor(day_of_era / 146_096.0)
        )
        / 365.0
    )
    day_of_year = day_of_era - (
        365.0 * year_of_era + torch.floor(year_of_era / 4.0) - torch.floor(year_of_era / 100.0)
    )
    march_based = torch.floor((5.0 * day_of_year + 2.0) / 153.0)
    day_of_month = day_of_year - torch.floor((153.0 * march_based + 2.0) / 5.0) + 1.0
    month = march_based + torch.where(march_based < 10.0, 3.0, -9.0)
    return month, day_of_month
