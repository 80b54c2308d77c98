"""Every public name of homodyne 2.x is in compat, or has a row in the page of names."""

import importlib
import pkgutil
import re
from pathlib import Path

import homodyne_bayes
from homodyne_bayes import compat

PAGE = Path(__file__).parents[2] / "docs" / "coming-from-homodyne.md"
UPSTREAM = [
    "PhysicsConstants",
    "WAVELENGTH_CU_KA",
    "WAVELENGTH_8KEV",
    "WAVELENGTH_12KEV",
    "WAVELENGTH_15KEV",
    "Q_MIN_TYPICAL",
    "Q_MAX_TYPICAL",
    "TIME_MIN_XPCS",
    "TIME_MAX_XPCS",
    "DIFFUSION_MIN",
    "DIFFUSION_MAX",
    "SHEAR_RATE_MIN",
    "SHEAR_RATE_MAX",
    "ALPHA_MIN",
    "ALPHA_MAX",
    "BETA_MIN",
    "BETA_MAX",
    "EPS",
    "MAX_EXP_ARG",
    "MIN_POSITIVE",
    "parameter_bounds",
    "validate_parameters",
    "validate_parameters_detailed",
    "ValidationResult",
    "clip_parameters",
    "validate_experimental_setup",
    "estimate_correlation_time",
    "PhysicsFactors",
    "create_physics_factors_from_config_dict",
    "safe_sinc",
    "safe_exp",
    "compute_g1_diffusion",
    "compute_g1_shear",
    "compute_g1_total",
    "compute_g2_scaled",
    "compute_g2_scaled_with_factors",
    "compute_chi_squared",
    "vectorized_g2_computation",
    "batch_chi_squared",
    "gradient_g2",
    "hessian_g2",
    "gradient_chi2",
    "hessian_chi2",
    "get_cached_meshgrid",
    "precompute_shard_grid",
    "PhysicsModelBase",
    "DiffusionModel",
    "ShearModel",
    "CombinedModel",
    "create_model",
    "get_available_models",
    "get_default_parameters",
    "numpy_gradient",
    "numpy_hessian",
    "argnums",
    "config",
    "get_gradient_function",
    "get_hessian_function",
    "supports_gradients",
    "get_best_gradient_method",
    "benchmark_gradient_performance",
    "validate_gradient_accuracy",
    "get_optimization_recommendations",
    "get_model_info",
    "HomodyneModel",
    "TheoryEngine",
    "compute_g2_theory",
    "compute_chi2_theory",
    "ParameterSpace",
    "FitResult",
    "UnifiedHomodyneEngine",
    "solve_least_squares_jax",
    "solve_least_squares_chunked_jax",
    "solve_least_squares_general_jax",
    "estimate_contrast_offset_from_quantiles",
    "estimate_per_angle_scaling",
    "compute_averaged_scaling",
    "apply_diagonal_correction",
    "apply_diagonal_correction_batch",
    "select_physics_backend",
    "get_device_info",
    "fixed_parameters",
    "active_parameters",
    "bounds",
    "priors",
    "initial_parameters",
]
TABLE = PAGE.read_text(encoding="utf-8").partition("## From names to names")[2]
ROWS = [line.split("|")[1:3] for line in TABLE.splitlines() if line.startswith("| ")]


def names_of_compat():
    modules = [
        importlib.import_module(f"{compat.__name__}.{module.name}")
        for module in pkgutil.iter_modules(compat.__path__)
    ]
    return {name for module in modules for name in vars(module)}


def test_a_name_is_in_compat_or_on_the_page():
    on_the_page = {name for left, _ in ROWS for name in re.findall(r"\w+", left)}
    assert sorted(set(UPSTREAM) - on_the_page - names_of_compat()) == []


def test_what_the_page_names_is_there():
    named = {
        p for _, right in ROWS for p in re.findall(r"`((?:compat|data|physics)\.[\w.]+)`", right)
    }
    assert len(named) > 40
    assert [path for path in sorted(named) if not found(path)] == []


def found(path):
    module, _, name = path.rpartition(".")
    return hasattr(importlib.import_module(f"{homodyne_bayes.__name__}.{module}"), name)
