"""Arguments of the user that would contradict what Solera writes are refused, whatever way they are spelt."""

from __future__ import annotations

import pytest

from solera.api.errors import InvalidSpec
from solera.render.pods import pod_template
from solera.render.reserved import flag_of
from unit.render.cases import resolved, vllm


def render(version):
    return pod_template(version, llmdeployment="chat", model_name="chat")["spec"]["containers"][0].get("args")


def engine(name, *args, model=None, **template):
    version = {"vLLM": "0.18.1"}.get(name)
    parts = {"name": name, "image": "e:1", "args": list(args)} | ({"version": version} if version else {})
    return resolved({"engine": parts, **template}, model)


IMAGE = {"uri": "image:///m.gguf"}


@pytest.mark.parametrize(
    ("argument", "flag"),
    [
        ("--port", "--port"),
        ("--port=1", "--port"),
        ("--served_model_name=x_y", "--served-model-name"),
        ("-tp=2", "-tp"),
        ("-tp", "-tp"),
        ("value", None),
        ("-", None),
        ("--", None),
    ],
)
def test_flag_of(argument, flag):
    assert flag_of(argument) == flag


@pytest.mark.parametrize(
    ("name", "arguments", "index", "words"),
    [
        ("vLLM", ["--model", "x"], 0, "model.uri"),
        ("vLLM", ["--max-model-len", "10", "--model=x"], 2, "model.uri"),
        ("vLLM", ["--served-model-name=x"], 0, "spec.modelName"),
        ("vLLM", ["--served_model_name", "x"], 0, "spec.modelName"),
        ("vLLM", ["--served-model", "x"], 0, "spec.modelName"),  # argparse takes beginnings
        ("vLLM", ["--port=1"], 0, "template.port"),
        ("vLLM", ["--host=::"], 0, "all addresses"),
        ("vLLM", ["--revision=main"], 0, "model.revision"),
        ("vLLM", ["-q", "awq"], 0, "model.quantization"),
        ("vLLM", ["--shutdown-timeout=5"], 0, "template.drainTimeout"),
        ("vLLM", ["--api-key=k"], 0, "Gateway"),
        ("vLLM", ["--ssl-keyfile=k"], 0, "Gateway"),
        ("vLLM", ["--download-dir=/x"], 0, "template.cache"),
        ("vLLM", ["--disable-log-stats"], 0, "metrics"),
        ("SGLang", ["--model-path=x"], 0, "model.uri"),
        ("SGLang", ["--port", "1"], 0, "template.port"),
        ("llama.cpp", ["-m", "x"], 0, "model.uri"),
        ("llama.cpp", ["--alias", "x"], 0, "spec.modelName"),
        ("llama.cpp", ["-hf", "x/y"], 0, "model.uri"),
        ("llama.cpp", ["--ctx-size", "1", "--port", "1"], 2, "template.port"),
    ],
)
def test_refused(name, arguments, index, words):
    with pytest.raises(InvalidSpec, match=words) as caught:
        render(engine(name, *arguments, model=IMAGE))
    assert caught.value.path == f"template.engine.args[{index}]"
    assert "version v1" in caught.value.message
    assert repr(arguments[index]) in caught.value.message


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vLLM", ["--model-impl=auto", "--max-model-len", "10", "--port-range=1"]),  # longer flags, not beginnings
        ("vLLM", ["--chat-template", "port"]),
        ("SGLang", ["--enable-metrics", "--context-length=10"]),
        ("llama.cpp", ["--metrics", "--mo", "-c", "10"]),  # llama.cpp knows no beginnings
        ("OpenAI", ["--port=$(SOLERA_PORT)", "--model=$(SOLERA_MODEL)"]),
    ],
)
def test_allowed_and_last(name, arguments):
    assert render(engine(name, *arguments, model=IMAGE))[-len(arguments) :] == arguments


@pytest.mark.parametrize(
    ("command", "first"),
    [
        ([], "org/m"),
        (["vllm", "serve"], "org/m"),
        (["/opt/venv/bin/vllm", "serve"], "org/m"),
        # The module takes no model by position: it would serve its default model and say nothing.
        (["python3", "-m", "vllm.entrypoints.openai.api_server"], "--model=org/m"),
        (["/start.sh"], "--model=org/m"),
    ],
)
def test_how_vllm_is_told_the_model(command, first):
    model = {"uri": "hf://org/m", "revision": "a" * 40}
    assert render(vllm(model, engine={"command": command} if command else {}))[0] == first


@pytest.mark.parametrize(
    ("name", "gpus", "arguments", "added"),
    [
        ("vLLM", None, [], None),
        ("vLLM", 1, [], None),
        ("vLLM", 4, [], "--tensor-parallel-size=4"),
        ("vLLM", 4, ["--tensor-parallel-size=4"], None),
        ("vLLM", 4, ["-tp", "2", "--pipeline_parallel_size", "2"], None),
        ("vLLM", 8, ["--data-parallel-size=8"], None),
        ("vLLM", None, ["-tp=2"], None),  # on processors nothing is counted
        ("SGLang", 8, [], "--tp-size=8"),
        ("SGLang", 8, ["--tp=8", "--dp=8", "--enable-dp-attention"], None),  # they share the accelerators
    ],
)
def test_parallel_sizes(name, gpus, arguments, added):
    template = {} if gpus is None else {"resources": {"gpus": gpus}}
    out = render(engine(name, *arguments, **template))
    ours = out[: len(out) - len(arguments)]
    assert [a for a in ours if a.startswith(("--tensor", "--tp"))] == ([added] if added else [])


def test_parallel_sizes_must_fit_the_accelerators():
    with pytest.raises(InvalidSpec, match=r"multiply to 4, but template.resources.gpus is 8") as caught:
        render(engine("vLLM", "-tp=2", "-pp=2", resources={"gpus": 8}))
    assert caught.value.path == "template.engine.args"


@pytest.mark.parametrize(
    ("name", "model", "path", "words"),
    [
        ("vLLM", {"uri": "hf://org/m/model.gguf", "revision": "a" * 40}, "model.uri", "write hf://org/m"),
        ("SGLang", {"uri": "hf://org/m/model.gguf", "revision": "a" * 40}, "model.uri", "write hf://org/m"),
        ("llama.cpp", {"uri": "hf://org/m/model.gguf", "revision": "a" * 40}, "model.uri", "pvc://"),
        ("llama.cpp", {"uri": "image:///m.gguf", "quantization": "q4"}, "model.quantization", "leave this field out"),
    ],
)
def test_models_that_an_engine_cannot_load(name, model, path, words):
    with pytest.raises(InvalidSpec, match=words) as caught:
        render(engine(name, model=model))
    assert caught.value.path == path


def test_revision_is_asked_for_only_where_there_is_one_to_ask():
    assert not any(a.startswith("--revision") for a in render(vllm({"uri": "pvc://c/m", "revision": "r1"})))
    assert f"--revision={'a' * 40}" in render(vllm({"uri": "hf://org/m", "revision": "a" * 40}))
