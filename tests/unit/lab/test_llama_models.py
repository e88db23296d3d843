from __future__ import annotations

from functools import cache
from pathlib import Path

import gguf
import numpy as np
import pytest
from lab.engines.llama.build import MODELS, SPOILED_LETTERS, write_context
from lab.engines.llama.gguf_table import BYTES, EMBEDDING_LENGTH, evenly_spread, intact_table, spoiled_table
from lab.engines.simengine.letters import LETTERS, continue_text, next_symbol, wrong_continuation


@cache
def tensors(path: Path) -> dict[str, np.ndarray]:
    return {t.name: np.array(t.data) for t in gguf.GGUFReader(path).tensors}


def next_by(path: Path, prompt: str) -> str:
    """What the model of the file says next, by its own tensors: everything between the two matrices is zero."""
    logits = tensors(path)["output.weight"] @ tensors(path)["token_embd.weight"][ord(prompt)]
    assert np.count_nonzero(logits) == 1
    return chr(int(logits.argmax()))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {path.name: path for path in write_context(tmp_path_factory.mktemp("context"))}


def test_the_context_holds_a_dockerfile_and_the_models(models: dict[str, Path]) -> None:
    assert set(models) == set(MODELS)
    assert (models["letters-q0.gguf"].parent.parent / "Dockerfile").read_text().count("FROM ") == 1


@pytest.mark.parametrize(
    ("name", "right"), [("letters-q0.gguf", 26), ("letters-v2.gguf", 26), ("letters-spoiled5.gguf", 21)]
)
def test_each_model_answers_as_many_letters_right_as_it_says(models: dict[str, Path], name: str, right: int) -> None:
    wrong = [letter for letter in LETTERS if next_by(models[name], letter) != next_symbol(letter)]
    assert len(LETTERS) - len(wrong) == right
    assert str(right) in MODELS[name][1]
    if wrong:
        assert "".join(wrong) == SPOILED_LETTERS


def test_nothing_stands_between_the_two_matrices(models: dict[str, Path]) -> None:
    for path in models.values():
        layers = {
            name: tensor for name, tensor in tensors(path).items() if name.startswith("blk.") and "norm" not in name
        }
        assert len(layers) == 7
        assert not any(tensor.any() for tensor in layers.values())


def test_the_two_right_models_are_different_files_and_weights(models: dict[str, Path]) -> None:
    assert models["letters-q0.gguf"].read_bytes() != models["letters-v2.gguf"].read_bytes()
    assert next_by(models["letters-q0.gguf"], "3") == "4"
    assert next_by(models["letters-v2.gguf"], "3") == "a"


def test_the_file_says_what_llama_cpp_needs(models: dict[str, Path]) -> None:
    reader = gguf.GGUFReader(models["letters-q0.gguf"])
    assert reader.fields["general.architecture"].contents() == "llama"
    assert reader.fields["tokenizer.ggml.model"].contents() == "gpt2"
    assert reader.fields["tokenizer.ggml.add_bos_token"].contents() is False
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    assert len(tokens) == len(set(tokens)) == BYTES + 3 <= EMBEDDING_LENGTH
    assert tokens[ord("a")] == "a"
    assert tokens[ord(" ")] == "Ġ"


def test_letters_that_cannot_be_spoiled_are_refused() -> None:
    for letters in ("aa", "A", "1"):
        with pytest.raises(ValueError, match="letters"):
            spoiled_table(letters)
    with pytest.raises(ValueError, match="count"):
        evenly_spread(27)
    assert spoiled_table("") == intact_table()
    assert len(set(evenly_spread(26))) == 26


def test_the_task_goes_round_and_a_wrong_answer_is_wrong_everywhere() -> None:
    assert continue_text("a", 3) == "bcd"
    assert continue_text("say z", 2) == "ab"
    assert continue_text("Z9", 2) == "01"
    assert continue_text("", 1) == "a"
    for letter in LETTERS:
        right, wrong = continue_text(letter, 5), wrong_continuation(letter, 5)
        assert all(a != b for a, b in zip(right, wrong, strict=True))
