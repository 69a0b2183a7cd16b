"""Where a value comes from, and that nothing misspelt is ignored in silence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.settings import ConfigurationError, fields, load, origin, setting_names, unknown_variables, variable


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    path = tmp_path / "grounded.toml"
    monkeypatch.setenv("GROUNDED_CONFIG", str(path))
    path.write_text("")
    return lambda text: path.write_text(text) and None


def test_flag_over_environment_over_file_over_default(
    config: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (load().port, origin("port")) == (8000, "default")
    config("port = 8001")
    assert (load().port, origin("port")) == (8001, "grounded.toml")
    monkeypatch.setenv("GROUNDED_PORT", "8002")
    assert (load().port, origin("port")) == (8002, "GROUNDED_PORT")
    assert load(port=8003).port == 8003


def test_sections_nest(config: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    config("[retrieval]\nrrf_k = 10\ncandidates = 20")
    monkeypatch.setenv("GROUNDED_RETRIEVAL__RRF_K", "30")
    assert (load().retrieval.rrf_k, load().retrieval.candidates) == (30, 20)
    assert origin("retrieval.candidates") == "grounded.toml"


@pytest.mark.parametrize(
    ("text", "near"),
    [("prot = 1", "port"), ("[retrieval]\nrrfk = 1", "retrieval.rrf_k"), ("[nonsense]\na = 1", "nonsense")],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(config: Callable[[str], None], text: str, near: str) -> None:
    config(text)
    with pytest.raises(ConfigurationError, match=near):
        load()


@pytest.mark.parametrize("text", ["port = 'many'", "port = 99999", "[retrieval]\nrrf_k = -1", "port = "])
def test_a_wrong_value_names_its_setting(config: Callable[[str], None], text: str) -> None:
    config(text)
    with pytest.raises(ConfigurationError):
        load()


def test_a_misspelt_variable_is_told(config: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDED_RETREIVAL__RRF_K", "1")
    assert unknown_variables() == [
        "GROUNDED_RETREIVAL__RRF_K is not a setting. Did you mean GROUNDED_RETRIEVAL__RRF_K?"
    ]


def test_a_secret_from_a_file_is_read_and_never_shown(
    config: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("s3cret-key\n")
    (tmp_path / "key").chmod(0o600)
    monkeypatch.setenv("GROUNDED_GENERATION__API_KEY_FILE", str(tmp_path / "key"))
    settings = load()
    assert settings.generation.api_key.get_secret_value() == "s3cret-key"
    assert "s3cret" not in repr(settings)
    assert origin("generation.api_key") == "GROUNDED_GENERATION__API_KEY_FILE"


def test_the_address_of_redis_holds_a_password_and_is_never_shown(
    config: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_text("redis://:s3cret@127.0.0.1:6379/0\n")
    (tmp_path / "url").chmod(0o600)
    monkeypatch.setenv("GROUNDED_REDIS_URL_FILE", str(tmp_path / "url"))
    assert load().redis_url.get_secret_value() == "redis://:s3cret@127.0.0.1:6379/0"
    assert "s3cret" not in repr(load())
    monkeypatch.setenv("GROUNDED_REDIS_URL_FILE", "")
    monkeypatch.setenv("GROUNDED_REDIS_URL", "http://127.0.0.1")
    with pytest.raises(ConfigurationError, match="redis://"):
        load()


def test_the_address_of_the_database_is_a_postgresql_and_is_never_shown(
    config: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDED_DATABASE_URL", "postgresql://grounded:s3cret@db:5432/grounded")
    assert "s3cret" not in repr(load())
    assert "s3cret" not in str(load().model_dump(mode="json"))
    monkeypatch.setenv("GROUNDED_DATABASE_URL", "mysql://grounded:s3cret@db/grounded")
    with pytest.raises(ConfigurationError, match="postgresql://") as caught:
        load()
    assert "s3cret" not in str(caught.value)


def test_the_short_form_of_qdrant_gives_way_to_what_is_said_of_the_index(
    config: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDED_QDRANT_URL", "http://qdrant:6333")
    assert (load().index.engine, load().index.url) == ("qdrant_server", "http://qdrant:6333")
    config("[index]\ncollection = 'mine'\nurl = 'http://other:6333'")
    index = load().index
    assert (index.engine, index.url, index.collection) == ("qdrant_server", "http://other:6333", "mine")


def test_a_config_file_that_is_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDED_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigurationError):
        load()


def test_every_setting_tells_what_it_does_and_has_a_variable() -> None:
    for name, info in fields():
        assert info.description, name
        assert variable(name).startswith("GROUNDED_")
    assert len(set(setting_names())) == len(fields())
