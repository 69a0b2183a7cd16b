"""What a generation remembers of its embedder makes the same one again, whatever is configured by then."""

from pathlib import Path

import pytest

from app.recipe import HOW, recipe_of, with_recipe
from app.settings import ConfigurationError, Settings


def settings(**embedder: object) -> Settings:
    return Settings.model_validate({"embedder": embedder})


def test_how_it_is_run_is_no_part_of_it() -> None:
    now = settings(threads=3, precision="fp32", batch_tokens=512)
    recipe = recipe_of(now.embedder)
    assert not set(HOW) & set(recipe)
    made = with_recipe(settings(threads=7), recipe).embedder
    assert (made.threads, made.precision, made.batch_tokens) == (7, "auto", 2048)
    assert recipe_of(made) == recipe


def test_a_recipe_of_another_release_is_no_crash() -> None:
    with pytest.raises(ConfigurationError) as caught:
        with_recipe(settings(), {"no_such_thing": 1})
    assert "grounded reindex" in caught.value.next_step


def test_an_empty_recipe_is_the_embedder_of_the_defaults() -> None:
    assert recipe_of(with_recipe(settings(threads=2), {}).embedder) == recipe_of(settings().embedder)


def test_the_rest_of_the_settings_stays(tmp_path: Path) -> None:
    now = Settings(state=tmp_path, max_running=3)
    assert with_recipe(now, recipe_of(now.embedder)) == now
