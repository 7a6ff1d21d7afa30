"""What must happen: exact predictions in float64. No training, no random numbers of its own.

The names stand in subjects, such as ``ps.theory.modular_addition.unit_logit_scale``:

- ``activations``: activation functions, and the Gaussian moments that signal propagation needs of them
- ``associative_memory``: energies of associative memories, and the likelihoods that they are
- ``asymmetric_margin``: margins of quasi-homogeneous models, the asymmetric norm, the simplex of class means
- ``autoinit``: AutoInit for one layer: steps, rates, the scale that it reaches
- ``chance``: what is read where nothing was learnt: chance, the majority class, participation of noise
- ``class_manifolds``: how often a random plane meets a ball, an affine subspace, or a tube around one
- ``cluster_recovery``: how well two Gaussian clusters are found without labels, by dimension
- ``correlation_map``: two inputs in one network at initialization: covariance, correlation, neural tangent kernel
- ``critical_initialization``: where networks are critical, and how their Jacobians change with depth there
- ``criticality``: signal and gradient through a deep network at initialization, at infinite width
- ``finite_width``: what depth over width does: the kernel's variance, singular values of the Jacobian
- ``gauss_markov``: waypoints between two ends of a Gauss-Markov chain of representations
- ``gaussian_moments``: averages over one and two Gaussian variables, with their errors
- ``in_context_modular``: linear functions modulo p in context: ratio matching, regression, Bayes over a pool
- ``in_context_regression``: linear regression in context: ridge, Bayes over a pool, their errors
- ``label_corruption``: phases of networks trained on wrong labels, and the numbers that these fix
- ``linear_transfer``: risks of scratch training, linear transfer and fine-tuning in linear networks
- ``manifold_capacity``: the bound of maximum manifold capacity, and what uniform and free embeddings attain
- ``memory_creation``: memories made as needed, seating of the restaurant process, explicit assignments
- ``memory_limits``: how many patterns a Gaussian kernel density estimator remembers
- ``model_collapse``: models that are fitted to their own samples: errors and variances by generation
- ``modular_addition``: exact weights for modular addition, and how well they must work
- ``parametrizations``: abc-parametrizations: which are stable, which learn features as networks grow wide
- ``polynomial_forms``: which tables modulo p are h(g_1 + g_2) or h(g_1 g_2), and what twins give away
- ``polynomial_weights``: exact weights for sums of many terms and for products modulo p, and their errors
- ``residues``: residues modulo a prime: primitive roots, discrete logarithms
- ``rich_lazy``: one linear neuron between the rich and the lazy regime
- ``rich_lazy_wide``: wide and deep linear networks between the rich and the lazy regime
- ``stochastic_collapse``: noise that vanishes on an invariant set and draws training into it
- ``transformer_signal``: tokens and gradients through a transformer at initialization
- ``width_limits``: exact fluctuations at finite width, guessing bias, limits of width and depth
"""

from phasescope.subjects import attach

# each subject, listed in __init__.pyi, is loaded when it is first used
__getattr__, __dir__, __all__ = attach(__name__, __file__)
