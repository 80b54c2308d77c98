"""What computes, over many fits."""

import jax
import jax.numpy as jnp
import pytest

from homodyne_bayes import environment


@pytest.mark.parametrize(("share", "again"), [(1.0, False), (0.0, True)])
def test_programs_are_let_go_where_they_hold_many_mappings_of_memory(caplog, share, again):
    """A process that compiles model after model, as in a study, ran out of them and crashed."""
    program = jax.jit(lambda x: x + 1)
    program(jnp.zeros(3))
    environment.make_room(share)
    with jax.log_compiles():
        program(jnp.zeros(3))
    told = any("Compiling" in one.getMessage() for one in caplog.records)
    assert told == (again and environment.MAPPINGS[0].exists())


def test_systems_that_do_not_tell_of_mappings_keep_their_programs(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "MAPPINGS", (tmp_path / "none", tmp_path / "none"))
    environment.make_room(0.0)
