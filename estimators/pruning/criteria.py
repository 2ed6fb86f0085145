"""Pruning criteria: how much a weight or a unit matters. High scores are kept.

A criterion is one function from a `Model` to one array of scores a layer, registered under its name for
the granularity it scores. One that scores weights only also serves units: a unit's score is then the norm
of the scores of its incoming weights. Those that look at data take their figures from the model's
`evidence`. How each is meant to be used (before or after training, globally or by layer) is in its docstring;
every combination is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .evidence import Evidence

    Scores = list[NDArray[np.floating]]
    Criterion = Callable[["Model"], Scores]

GRANULARITIES = ("weight", "unit")
NORMS = (1, 2, np.inf)


@dataclass(frozen=True)
class Model:
    """What a criterion may look at.

    Attributes
    ----------
    coefs : sequence of ndarray, each (n_in, n_out)
        The weights of the layers that are to be pruned.
    seed : int
        For criteria that draw random numbers.
    scope : {"layer", "global"}
        How the scores will be ranked, for criteria to which that matters.
    make_evidence : callable, optional
        Makes the `Evidence` of the whole network on its training data, for criteria that look at them.
    """

    coefs: Sequence[NDArray[np.floating]]
    seed: int = 0
    scope: str = "layer"
    make_evidence: Callable[[], Evidence] | None = None

    @property
    def evidence(self) -> Evidence:
        """Gradients, curvature and activity on training data; ValueError if there are none at hand."""
        if self.make_evidence is None:
            raise ValueError("this criterion looks at training data, and there are none here")
        return self.make_evidence()

    def times(self, figures: Sequence[NDArray[np.floating]]) -> Scores:
        """Weights times figures of theirs, for the layers to be pruned."""
        return [coef * figure for coef, figure in zip(self.coefs, figures, strict=False)]


#: Criteria whose scores have signs: a unit's is the sum of its weights' scores, where a norm would lose them.
SIGNED = ("grasp", "movement", "obd")

WEIGHT_CRITERIA: dict[str, Criterion] = {}
UNIT_CRITERIA: dict[str, Criterion] = {}


def criterion(name: str, granularity: str = "weight") -> Callable[[Criterion], Criterion]:
    """Register a function as criterion `name` for weights or for units."""
    registry = {"weight": WEIGHT_CRITERIA, "unit": UNIT_CRITERIA}[granularity]

    def register(function: Criterion) -> Criterion:
        registry[name] = function
        return function

    return register


def criterion_names() -> list[str]:
    """The names of all criteria."""
    return sorted(WEIGHT_CRITERIA.keys() | UNIT_CRITERIA.keys())


@criterion("magnitude")
def magnitude(model: Model) -> Scores:
    """The absolute value of each weight.

    References
    ----------
    S. Han, J. Pool, J. Tran, W. Dally, "Learning both Weights and Connections for Efficient Neural
    Networks", NeurIPS 2015.
    """
    return [np.abs(coef) for coef in model.coefs]


@criterion("random")
def random_weights(model: Model) -> Scores:
    """Uniform random numbers: the floor that every other criterion has to beat."""
    rng = np.random.default_rng(model.seed)
    return [rng.random(coef.shape, dtype=np.float32) for coef in model.coefs]


@criterion("random", granularity="unit")
def random_units(model: Model) -> Scores:
    """A uniform random number a unit (the norm of random weights would favour units with many inputs)."""
    rng = np.random.default_rng(model.seed)
    return [rng.random(coef.shape[1], dtype=np.float32) for coef in model.coefs]


@criterion("taylor")
def taylor(model: Model) -> Scores:
    """``|w * dL/dw|``: the change of the loss, to first order, if the weight goes.

    References
    ----------
    P. Molchanov, A. Mallya, S. Tyree, I. Frosio, J. Kautz, "Importance Estimation for Neural Network Pruning",
    CVPR 2019.
    """
    return [np.abs(change) for change in model.times(model.evidence.gradients)]


@criterion("taylor", granularity="unit")
def taylor_units(model: Model) -> Scores:
    """``|sum of w * dL/dw|`` over a unit's incoming weights and its bias: the unit goes as a whole.

    References
    ----------
    P. Molchanov et al., CVPR 2019, equation 8 (which squares it: the order is the same).
    """
    evidence = model.evidence
    changes = [change.sum(axis=0) for change in model.times(evidence.gradients)]
    if evidence.bias_gradients:
        pairs = zip(changes, evidence.biases, evidence.bias_gradients, strict=False)
        changes = [change + bias * gradient for change, bias, gradient in pairs]
    return [np.abs(change) for change in changes]


@criterion("obd")
def optimal_brain_damage(model: Model) -> Scores:
    """``w^2 * H_ii / 2``: the change of the loss, to second order, if the weight goes from a minimum.

    The diagonal of the Hessian is exact for relu and identity, and for small networks; else it is Hutchinson's
    estimate (see `Evidence.hessian_diagonal`).

    References
    ----------
    Y. LeCun, J. Denker, S. Solla, "Optimal Brain Damage", NeurIPS 1989.
    """
    return [
        coef * change / 2
        for coef, change in zip(model.coefs, model.times(model.evidence.hessian_diagonal), strict=True)
    ]


@criterion("fisher")
def fisher(model: Model) -> Scores:
    """``w^2 * F_ii / 2`` with the empirical Fisher information in the place of the Hessian.

    References
    ----------
    L. Theis, I. Korshunova, A. Tejani, F. Huszar, "Faster gaze prediction with dense networks and Fisher
    pruning", 2018.
    """
    return [coef * change / 2 for coef, change in zip(model.coefs, model.times(model.evidence.fisher), strict=True)]


@criterion("wanda")
def wanda(model: Model) -> Scores:
    """``|w|`` times the norm of the weight's input over the samples.

    References
    ----------
    M. Sun, Z. Liu, A. Bair, J. Z. Kolter, "A Simple and Effective Pruning Approach for Large Language Models",
    ICLR 2024. (There, weights are compared within each output; here, within the layer or the network.)
    """
    return [np.abs(change) for change in model.times([norm[:, None] for norm in model.evidence.input_norms])]


@criterion("activation")
def activation(model: Model) -> Scores:
    """``|w|`` times the mean activity of the unit it comes from (of a feature, from its least value)."""
    return [np.abs(change) for change in model.times([mean[:, None] for mean in model.evidence.input_activity])]


@criterion("activation", granularity="unit")
def activation_of_units(model: Model) -> Scores:
    """The mean absolute output of each unit.

    References
    ----------
    P. Molchanov, S. Tyree, T. Karras, T. Aila, J. Kautz, "Pruning Convolutional Neural Networks for Resource
    Efficient Inference", ICLR 2017, section 2.2.
    """
    return model.evidence.unit_activity[: len(model.coefs)]


@criterion("apoz")
def apoz(model: Model) -> Scores:
    """``|w|`` times how often the unit it comes from is not zero."""
    return [np.abs(change) for change in model.times([part[:, None] for part in model.evidence.input_nonzero])]


@criterion("apoz", granularity="unit")
def apoz_of_units(model: Model) -> Scores:
    """How often each unit is not zero: one minus its average percentage of zeros (APoZ).

    References
    ----------
    H. Hu, R. Peng, Y.-W. Tai, C.-K. Tang, "Network Trimming: A Data-Driven Neuron Pruning Approach towards
    Efficient Deep Architectures", 2016.
    """
    return model.evidence.unit_nonzero[: len(model.coefs)]


@criterion("movement")
def movement(model: Model) -> Scores:
    """``-sum of w * dL/dw`` over the steps of a further epoch: high for weights that training moves from zero.

    References
    ----------
    V. Sanh, T. Wolf, A. Rush, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", NeurIPS 2020, equation 4
    (the accumulated scores, without the masking during the accumulation).
    """
    return model.evidence.movement[: len(model.coefs)]


@criterion("snip")
def snip(model: Model) -> Scores:
    """``|w * dL/dw|``, the sensitivity of the connection: the formula of `taylor`, meant before training.

    References
    ----------
    N. Lee, T. Ajanthan, P. Torr, "SNIP: Single-shot Network Pruning based on Connection Sensitivity", ICLR 2019.
    """
    return taylor(model)


@criterion("grasp")
def grasp(model: Model) -> Scores:
    """``w * (H dL/dw)``: how much the gradient's norm depends on the weight; meant before training.

    The logits are divided by 200, as in the authors' program.

    References
    ----------
    C. Wang, G. Zhang, R. Grosse, "Picking Winning Tickets Before Training by Preserving Gradient Flow", ICLR
    2020. (There, the largest of ``-w * (H dL/dw)`` are removed: the same.)
    """
    return model.times(model.evidence.gradient_flow())


@criterion("synflow")
def synflow(model: Model) -> Scores:
    """How late iterative synaptic flow pruning removes the weight; looks at no data, meant before training.

    References
    ----------
    H. Tanaka, D. Kunin, D. Yamins, S. Ganguli, "Pruning neural networks without any data by iteratively
    conserving synaptic flow", NeurIPS 2020. See `Evidence.synaptic_flow_ranks` for the rounds.
    """
    return model.evidence.synaptic_flow_ranks(len(model.coefs), model.scope == "global")


@criterion("activity")
def activity(model: Model) -> Scores:
    """The mean co-activity of the two ends of the synapse, whatever its weight.

    Microglia remove the synapses that are used least: activity tags those that stay (D. Schafer et al.,
    "Microglia Sculpt Postnatal Neural Circuits in an Activity and Complement-Dependent Manner", Neuron 2012).
    """
    return model.evidence.coactivity[: len(model.coefs)]


@criterion("activity", granularity="unit")
def activity_of_units(model: Model) -> Scores:
    """The mean activity of each unit: that of `activation`."""
    return activation_of_units(model)


def weight_scores(name: str, model: Model) -> Scores:
    """Score every weight; each array has the shape of its layer's weights."""
    return WEIGHT_CRITERIA[name](model)


def unit_scores(name: str, model: Model, norm: float = 2) -> Scores:
    """Score every unit; each array is (n_out,).

    Parameters
    ----------
    name : str
        The criterion.
    model : Model
        What is scored.
    norm : {1, 2, inf}
        How the scores of a unit's incoming weights make its own, for criteria that score weights; those that are
        `SIGNED` are summed.
    """
    if name in UNIT_CRITERIA:
        return UNIT_CRITERIA[name](model)
    scores = WEIGHT_CRITERIA[name](model)
    if name in SIGNED:
        return [score.sum(axis=0) for score in scores]
    return [np.linalg.norm(score, ord=norm, axis=0) for score in scores]
