"""What did happen: pure measurements of a Subject. No task, no theory, no disk.

The names stand in subjects, such as ``ps.instruments.fourier.participation``:

- ``collapse``: neural collapse of features, class means and readout
- ``corruption``: what became of training samples whose label was drawn again
- ``curvature``: how sharply the training loss bends around a network
- ``forgetting``: what was lost of earlier tasks
- ``forward_jacobian``: partial Jacobian norms to all later layers by one sweep of random signs
- ``forward_pass``: one forward pass of any module, with places where signal and gradients can be read
- ``fourier``: participation, frequencies and phases of neurons in Fourier space
- ``intrinsic_dimension``: dimension of a cloud of points: TwoNN and maximum likelihood
- ``isotropy``: how evenly a cloud uses its space: participation ratio, IsoScore, effective rank, outliers
- ``logits``: what a network answers: accuracies, losses, logits
- ``manifolds``: capacity of embeddings, what limits it, alignment and uniformity
- ``neural_tangent_kernel``: the empirical tangent kernel of any module, and how far training moved it
- ``neuron_independence``: how many neurons differ from nothing and from each other
- ``neuron_pruning``: what a network still answers without a fraction of its neurons
- ``norms``: sizes of weights and gradients, and of the scales of batch normalization
- ``parameter_rank``: how many directions of the parameters move a network's function
- ``partial_jacobian``: averaged partial Jacobian norms between places of any network, exact ones of small networks
- ``regions``: pieces and holes of the regions in which a network answers one class, on a grid
- ``signal``: kernels, cosines, variances and dead fractions along a forward pass
- ``similarity``: linear CKA, and the neighbours that two descriptions of the same samples share
- ``subspaces``: how many random directions an objective needs to be learnt
- ``twins``: test inputs that are the same, for the function to be learnt, as training inputs
- ``weight_pruning``: what a network still answers without its smallest weights

``LEARNING`` (accuracies and losses), ``CORRUPTION`` (accuracies of corrupted labels) and ``ALL`` are collections of
instruments to hand to ``watch=``; they stand in the room itself, since they span subjects or are needed everywhere.
"""

from phasescope.subjects import attach

# each subject, listed in __init__.pyi, is loaded when it is first used
__getattr__, __dir__, __all__ = attach(__name__, __file__)
