"""A naive Bayes classifier: each measure of a species is taken as normally distributed and independent of the others.

A model is a plain dictionary, `{species: {"share": ..., "measures": {name: [mean, standard deviation]}}}`, so that it
can be read, and two of them compared, as JSON.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

Flower = Mapping[str, str]
Model = dict[str, dict[str, object]]
MEASURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


def train(flowers: Sequence[Flower]) -> Model:
    """A model of flowers whose species is known, two of each at least."""
    model: Model = {}
    for species in sorted({flower["species"] for flower in flowers}):
        of_it = [flower for flower in flowers if flower["species"] == species]
        measures = {}
        for name in MEASURES:
            values = [float(flower[name]) for flower in of_it]
            measures[name] = [round(fmean(values), 4), round(stdev(values), 4)]
        model[species] = {"share": round(len(of_it) / len(flowers), 4), "measures": measures}
    return model


def classify(model: Model, flower: Flower) -> str:
    """The most probable species."""
    return max(model, key=lambda species: log_probability(model[species], flower))


def log_probability(species: Mapping[str, object], flower: Flower) -> float:
    """How probable the flower is in the species, up to what is the same for all."""
    total = math.log(species["share"])
    for name, (mean, deviation) in species["measures"].items():
        total -= math.log(deviation) + (float(flower[name]) - mean) ** 2 / (2 * deviation**2)
    return total
