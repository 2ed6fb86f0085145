"""Pruning criteria: how much a weight or a unit matters. High scores are kept.

A criterion is one function from a `Model` to scores by name, registered under its own name for what it scores: the
entries of each tensor of weights ("weight"), the units of each group ("unit"), or the weights into a unit and its
bias as a whole ("group"). The score of a unit is, in this
order:

1. the criterion's own score of units, if it has one ("random", "lamp", "activation", "apoz", "activity");
2. with ``reduce="sum"`` the group form, if there is one: ``|sum of w * dL/dw|`` ("taylor", "snip"), the Fisher
   information of the group ("fisher"); else the sum of the scores of its incoming weights;
3. with ``reduce="norm"`` the norm of the scores of its incoming weights.

``reduce="auto"`` is "sum" for the criteria in `SUMMED`, and "norm" for the others. Criteria that look at data take
their figures from the model's `evidence`. How each is meant to be used (before or after training, globally or by
layer) is in its docstring.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .allocation import prunable_groups, prunable_weights
from .groups import along_inputs, entries_of_slice, entries_of_units, slices_of_output
from .masks import layers_ranked_together, sparsity_of_each

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ..networks.base import Group, Network, TensorRecord
    from .evidence import Evidence

    #: By the name of the tensor of weights, or of the group of units.
    Scores = dict[str, NDArray[np.floating]]
    Criterion = Callable[["Model"], Scores]


@dataclass(frozen=True)
class Model:
    """What a criterion may look at.

    Attributes
    ----------
    network : Network
    tensors : mapping of str to ndarray
    output : {False, True, "half"}
        Whether the output layer is pruned; with "half" it is ranked by itself. See `RemovalOrder`.
    seed : int
        For criteria that draw random numbers.
    scope : {"layer", "global"}
        How the scores will be ranked, for criteria to which that matters.
    make_evidence : callable, optional
        Makes the `Evidence` of the network on its training data, for criteria that look at them.
    sparsity : float or sequence of float
        What the scores are for, or that of each group ranked; matters to criteria in `FOR_EACH_SPARSITY` only.
    excluded : tuple of str
        Names of layers that are not pruned.
    residual : bool
        Whether the units of residual streams are pruned.
    """

    network: Network
    tensors: Mapping[str, NDArray[np.floating]]
    output: bool | str = True
    seed: int = 0
    scope: str = "layer"
    make_evidence: Callable[[], Evidence] | None = None
    sparsity: float | Sequence[float] = 0.0
    excluded: tuple[str, ...] = ()
    residual: bool = False

    @property
    def records(self) -> list[TensorRecord]:
        """The records of the weights that are pruned."""
        return prunable_weights(self.network, self.output, self.excluded)

    @property
    def groups(self) -> list[Group]:
        """The groups of units that are pruned."""
        return prunable_groups(self.network, self.output, self.excluded, self.residual)

    @property
    def weights(self) -> Scores:
        """The weights that are pruned."""
        return {record.name: self.tensors[record.name] for record in self.records}

    @property
    def evidence(self) -> Evidence:
        """Gradients, curvature and activity on training data; ValueError if there are none."""
        if self.make_evidence is None:
            raise ValueError("this criterion looks at training data, and there are none here")
        return self.make_evidence()

    def times(self, figures: Mapping[str, NDArray[np.floating]]) -> Scores:
        """The weights times a figure for each."""
        return {name: weight * figures[name] for name, weight in self.weights.items()}

    def times_of_inputs(self, figures: Mapping[str, NDArray[np.floating]]) -> Scores:
        """The weights times a figure for each of their inputs, (fan_in,)."""
        return {
            record.name: self.tensors[record.name] * along_inputs(figures[record.name], record)
            for record in self.records
        }

    def of_groups(self, figures: Mapping[str, NDArray[np.floating]]) -> Scores:
        """The figures of the groups that are pruned."""
        return {group.name: figures[group.name] for group in self.groups}


#: Criteria whose unit scores are sums whatever `reduce`: their scores have signs, or are parts of a flow.
SUMMED = ("grasp", "movement", "obd", "synflow")

#: Criteria that have a group form and use it by default.
GROUPED = ("taylor", "snip")

#: Criteria that rank anew for every sparsity. Their masks are exact, but those of two sparsities need not be nested.
FOR_EACH_SPARSITY = ("synflow",)

#: Criteria whose unit scores mean the same in every layer: ``normalize="auto"`` leaves them alone.
COMPARABLE = ("random", "synflow", "lamp")

WEIGHT_CRITERIA: dict[str, Criterion] = {}
UNIT_CRITERIA: dict[str, Criterion] = {}
GROUP_CRITERIA: dict[str, Criterion] = {}


def criterion(name: str, granularity: str = "weight") -> Callable[[Criterion], Criterion]:
    """Register a function as criterion `name` for weights, for units, or for the weights of a unit as a group."""
    registry = {"weight": WEIGHT_CRITERIA, "unit": UNIT_CRITERIA, "group": GROUP_CRITERIA}[granularity]

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
    return {name: np.abs(weight) for name, weight in model.weights.items()}


@criterion("lamp")
def lamp(model: Model) -> Scores:
    """``w^2`` over the sum of ``v^2`` of all weights v of the layer that are as large or larger (LAMP).

    It is the share of the remaining weights of the layer when all smaller weights are removed, so the scores of
    different layers are comparable, and the largest weight of every layer has the score 1. It is meant for
    ``scope="global"``, where each layer gets a sparsity of its own and none is emptied while another has two weights.
    Within a layer the order is that of magnitude.

    References
    ----------
    J. Lee, S. Park, S. Mo, S. Ahn, J. Shin, "Layer-Adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021,
    equation 4. (Of equal weights the one with the lower index counts as smaller.)
    """
    return {name: _lamp(np.abs(weight)) for name, weight in model.weights.items()}


@criterion("lamp", granularity="unit")
def lamp_of_units(model: Model) -> Scores:
    """The same formula, with the Euclidean norms of the units' incoming weights in the place of the weights."""
    weights = model.tensors
    return {g.name: _lamp(np.linalg.norm(entries_of_units(g, weights), axis=0)) for g in model.groups}


def _lamp(sizes: NDArray[np.floating]) -> NDArray[np.float64]:
    squares = np.square(sizes.ravel(), dtype=np.float64)
    order = np.argsort(squares, kind="stable")
    left = np.cumsum(squares[order][::-1])[::-1]
    scores = np.zeros(len(squares))
    scores[order] = np.divide(squares[order], left, out=np.zeros(len(left)), where=left > 0)
    return scores.reshape(sizes.shape)


@criterion("random")
def random_weights(model: Model) -> Scores:
    """Uniform random numbers: the floor that every other criterion has to beat."""
    rng = np.random.default_rng(model.seed)
    return {name: rng.random(weight.shape, dtype=np.float32) for name, weight in model.weights.items()}


@criterion("random", granularity="unit")
def random_units(model: Model) -> Scores:
    """A uniform random number a unit (the norm of random weights would favour units with many inputs)."""
    rng = np.random.default_rng(model.seed)
    return {group.name: rng.random(group.size, dtype=np.float32) for group in model.groups}


@criterion("taylor")
def taylor(model: Model) -> Scores:
    """``|w * dL/dw|``: the change of the loss, to first order, if the weight goes.

    A unit has the score of its group, `taylor_of_groups`, or with ``reduce="norm"`` the norm of its weights' scores.

    References
    ----------
    P. Molchanov, A. Mallya, S. Tyree, I. Frosio, J. Kautz, "Importance Estimation for Neural Network Pruning",
    CVPR 2019.
    """
    return _absolute(model.times(model.evidence.gradients))


@criterion("snip", granularity="group")
@criterion("taylor", granularity="group")
def taylor_of_groups(model: Model) -> Scores:
    """``|dL/dg|`` for a gate g, of value one, on the unit's output before the activation: the unit goes as a whole.

    That is ``|sum of w * dL/dw|`` over a unit's incoming weights and its bias, or with batch normalisation over its
    scale and shift. Where several layers write a unit, the gate is on what each of them puts out.

    References
    ----------
    P. Molchanov et al., CVPR 2019, equation 8 (which squares it: the order is the same) and section 3.2 (gates after
    batch normalisation).
    """
    gradients, scores = model.evidence.gradients, {}
    for group in model.groups:
        parts = slices_of_output(group, model.network)
        products = (entries_of_slice(p, group.size, model.tensors[p.tensor] * gradients[p.tensor]) for p in parts)
        scores[group.name] = np.abs(sum(product.sum(axis=0) for product in products))
    return scores


@criterion("obd")
def optimal_brain_damage(model: Model) -> Scores:
    """``w^2 * H_ii / 2``: the change of the loss, to second order, if the weight goes from a minimum.

    The diagonal of the Hessian is exact for relu and identity, and for small networks; else it is Hutchinson's
    estimate (see `Evidence.hessian_diagonal`).

    References
    ----------
    Y. LeCun, J. Denker, S. Solla, "Optimal Brain Damage", NeurIPS 1989.
    """
    changes = model.times(model.evidence.hessian_diagonal)
    return {name: model.tensors[name] * change / 2 for name, change in changes.items()}


@criterion("fisher")
def fisher(model: Model) -> Scores:
    """``w^2 * F_ii / 2`` with the empirical Fisher information in the place of the Hessian.

    A unit has the norm of its weights' scores, or with ``reduce="sum"`` the score of its group, `fisher_of_groups`.

    References
    ----------
    L. Theis, I. Korshunova, A. Tejani, F. Huszar, "Faster gaze prediction with dense networks and Fisher
    pruning", 2018.
    """
    changes = model.times(model.evidence.fisher)
    return {name: model.tensors[name] * change / 2 for name, change in changes.items()}


@criterion("fisher", granularity="group")
def fisher_of_groups(model: Model) -> Scores:
    """Half the mean square over the samples of ``dL/dg``, for the gate on the unit's output of `taylor_of_groups`.

    Unlike the sum of the weights' scores it has their covariances, too.

    References
    ----------
    L. Theis et al. 2018, equation 8; L. Liu et al., "Group Fisher Pruning for Practical Network Compression", ICML
    2021, section 3.2.
    """
    return {name: square / 2 for name, square in model.of_groups(model.evidence.group_fisher).items()}


@criterion("wanda")
def wanda(model: Model) -> Scores:
    """``|w|`` times the norm of the weight's input over the samples.

    References
    ----------
    M. Sun, Z. Liu, A. Bair, J. Z. Kolter, "A Simple and Effective Pruning Approach for Large Language Models",
    ICLR 2024. (There, weights are compared within each output; here, within the layer or the network.)
    """
    return _absolute(model.times_of_inputs(model.evidence.activity.input_norms))


@criterion("activation")
def activation(model: Model) -> Scores:
    """``|w|`` times the mean activity of the unit it comes from (of a feature, from its least value)."""
    return _absolute(model.times_of_inputs(model.evidence.activity.input_activity))


@criterion("activation", granularity="unit")
def activation_of_units(model: Model) -> Scores:
    """The mean absolute output of each unit.

    References
    ----------
    P. Molchanov, S. Tyree, T. Karras, T. Aila, J. Kautz, "Pruning Convolutional Neural Networks for Resource
    Efficient Inference", ICLR 2017, section 2.2.
    """
    return model.of_groups(model.evidence.activity.unit_activity)


@criterion("apoz")
def apoz(model: Model) -> Scores:
    """``|w|`` times how often the unit it comes from is not zero."""
    return _absolute(model.times_of_inputs(model.evidence.activity.input_nonzero))


@criterion("apoz", granularity="unit")
def apoz_of_units(model: Model) -> Scores:
    """How often each unit is not zero: one minus its average percentage of zeros (APoZ).

    References
    ----------
    H. Hu, R. Peng, Y.-W. Tai, C.-K. Tang, "Network Trimming: A Data-Driven Neuron Pruning Approach towards
    Efficient Deep Architectures", 2016.
    """
    return model.of_groups(model.evidence.activity.unit_nonzero)


@criterion("movement")
def movement(model: Model) -> Scores:
    """``-sum of w * dL/dw`` over the steps of a further epoch: high for weights that training moves from zero.

    References
    ----------
    V. Sanh, T. Wolf, A. Rush, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", NeurIPS 2020, equation 4
    (the accumulated scores, without the masking during the accumulation).
    """
    return {name: model.evidence.movement[name] for name in model.weights}


@criterion("snip")
def snip(model: Model) -> Scores:
    """``|w * dL/dw|``, the sensitivity of the connection: `taylor`, of weights and of units, meant before training.

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
    return model.times(model.evidence.gradient_flow)


@criterion("synflow")
def synflow(model: Model) -> Scores:
    """How late iterative synaptic flow pruning removes the weight; looks at no data, meant before training.

    The rounds end at the sparsity wanted, as in the paper, so that the weights of every sparsity are found anew: the
    counts are exact, but the masks of two sparsities need not be nested.

    References
    ----------
    H. Tanaka, D. Kunin, D. Yamins, S. Ganguli, "Pruning neural networks without any data by iteratively
    conserving synaptic flow", NeurIPS 2020, algorithm 1. See `Evidence.synaptic_flow_order` for the rounds.
    """
    return _order_of_flow(model, by_unit=False)


@criterion("synflow", granularity="unit")
def synflow_of_units(model: Model) -> Scores:
    """How late the unit goes when the units with the smallest flow are removed in rounds.

    The flow of a unit is the sum of its weights' flow: as much comes in as goes out, and all layers have the same sum,
    so that the units of narrow layers are the last to go and no layer is emptied while others have several units.
    """
    return _order_of_flow(model, by_unit=True)


def _order_of_flow(model: Model, by_unit: bool) -> Scores:
    names = [group.name for group in model.groups] if by_unit else list(model.weights)
    ranked = [[names[i] for i in some] for some in layers_ranked_together(len(names), model.scope, model.output)]
    sparsities = sparsity_of_each(model.sparsity, len(ranked), model.output == "half")
    return model.evidence.synaptic_flow_order(ranked, sparsities, by_unit)


@criterion("activity")
def activity(model: Model) -> Scores:
    """The mean co-activity of the two ends of the synapse, whatever its weight.

    Microglia remove the synapses that are used least: activity tags those that stay (D. Schafer et al.,
    "Microglia Sculpt Postnatal Neural Circuits in an Activity and Complement-Dependent Manner", Neuron 2012).
    """
    return {name: model.evidence.activity.coactivity[name] for name in model.weights}


@criterion("activity", granularity="unit")
def activity_of_units(model: Model) -> Scores:
    """The mean activity of each unit: that of `activation`."""
    return activation_of_units(model)


def weight_scores(name: str, model: Model) -> Scores:
    """Score every weight; each array has the shape of its tensor."""
    return WEIGHT_CRITERIA[name](model)


def is_summed(name: str, reduce: str) -> bool:
    """Whether the scores of weights that go together are summed, and not their norm taken."""
    return name in SUMMED or reduce == "sum"


def unit_scores(name: str, model: Model, norm: float = 2, reduce: str = "auto") -> Scores:
    """Score every unit; each array is (size of the group,).

    Parameters
    ----------
    name : str
        The criterion.
    model : Model
        What is scored.
    norm : {1, 2, inf}
        How the scores of a unit's incoming weights make its own, with ``reduce="norm"``.
    reduce : {"auto", "norm", "sum"}
        See the module.
    """
    if name in UNIT_CRITERIA:
        return UNIT_CRITERIA[name](model)
    is_sum = name in SUMMED + GROUPED if reduce == "auto" else reduce == "sum"
    if is_sum and name in GROUP_CRITERIA:
        return GROUP_CRITERIA[name](model)
    # A layer that is excluded may share its weights with a group that is not.
    scores = WEIGHT_CRITERIA[name](replace(model, excluded=()))
    entries = {group.name: entries_of_units(group, scores) for group in model.groups}
    if is_sum:
        return {name: entry.sum(axis=0) for name, entry in entries.items()}
    return {name: np.linalg.norm(entry, ord=norm, axis=0) for name, entry in entries.items()}


def _absolute(scores: Scores) -> Scores:
    return {name: np.abs(score) for name, score in scores.items()}


def normalized(scores: Scores, how: str, kept: Mapping[str, NDArray[np.bool_]] | None = None) -> Scores:
    """Divide the scores of each group's units by the mean or the largest of their absolute values.

    Raw scores of different layers do not compare: the norm of a unit's weights grows with the number of its inputs,
    and a ranking across the network empties the layers where it is small.

    Parameters
    ----------
    scores : dict of str to ndarray, each (size,)
    how : {"none", "mean", "max"}
    kept : mapping of str to ndarray of bool, each (size,), optional
        The units that an earlier pruning left: only these count.
    """
    if how == "none":
        return scores
    found: Scores = {}
    for name, score in scores.items():
        size = np.abs(score.astype(np.float64))
        left = size if kept is None else size[kept[name]]
        scale = (left.mean() if how == "mean" else left.max()) if left.size else 0.0
        found[name] = score / scale if scale > 0 else score.astype(np.float64)
    return found


def normalization(how: str, criterion: str, scope: str) -> str:
    """What `normalize` means: "auto" is "mean" where units are ranked across the network by scores that need it."""
    if how != "auto":
        return how
    return "mean" if scope == "global" and criterion not in COMPARABLE else "none"
