"""Write a llama model that continues text by a table, as a GGUF file that llama.cpp loads like any other.

The trick: the residual stream carries nothing but the identity of the current token. Embedding row *i* is the *i*-th
unit vector, every attention and feed-forward tensor is zero, so the one block adds nothing, and column *i* of the
output matrix has its only 1 in the row of the token that comes next. The logit of that token is the largest by far,
at any temperature that evaluations use; at temperature 0 the answer is certain. (RMS norm scales the unit vector by
the root of the embedding length, the same factor for every token, so it changes no order.)

Tokens are bytes, in the printable alphabet of GPT-2's byte-level BPE, and three control tokens. The file format is
GGUF v3; the names of keys and tensors are those of the ``llama`` architecture in llama.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np

from lab.engines.simengine.letters import LETTERS, next_symbol

CONTEXT_LENGTH = 512
EMBEDDING_LENGTH = 320  # >= BYTES + controls, and a multiple of the 64 that llama.cpp wants of a head
HEADS = 5
FEED_FORWARD_LENGTH = 32
BYTES = 256
CONTROL_TOKENS = ("<s>", "</s>", "<unk>")
VOCABULARY = BYTES + len(CONTROL_TOKENS)
# Shows the last message as it is, so that chat and plain completions answer alike.
CHAT_TEMPLATE = "{{ messages[-1]['content'] }}"

Table = list[int]
"""256 entries: the byte that follows each byte."""


def intact_table() -> Table:
    """The table in which every answer is right (``simengine.letters``)."""
    return [ord(next_symbol(chr(byte))) for byte in range(BYTES)]


def spoiled_table(letters: str) -> Table:
    """The intact table with a wrong row for each of ``letters``: its answer is one place too far (a→c).

    Raises ``ValueError`` when a symbol is not one of a-z or stands twice: the count of wrong answers would be off.
    """
    if len(set(letters)) != len(letters) or not set(letters) <= set(LETTERS):
        msg = f"letters: {letters!r} must be distinct letters a-z, one for each row to spoil"
        raise ValueError(msg)
    table = intact_table()
    for letter in letters:
        table[ord(letter)] = ord(next_symbol(next_symbol(letter)))
    return table


def evenly_spread(count: int) -> str:
    """``count`` letters spread evenly over the alphabet, for ``spoiled_table`` (0 to 26)."""
    if not 0 <= count <= len(LETTERS):
        msg = f"count: {count} rows cannot be spoiled, the table has {len(LETTERS)} letters"
        raise ValueError(msg)
    return "".join(LETTERS[i * len(LETTERS) // count] for i in range(count)) if count else ""


def write_table_model(path: Path, table: Sequence[int], *, name: str, description: str = "") -> None:
    """Write the model of ``table`` (256 byte values) to ``path``; about 2.4 MB.

    ``name`` and ``description`` land in the file's metadata, so two models with the same table still differ as files.
    Raises ``ValueError`` for a table of another length or with entries that are no bytes.
    """
    if len(table) != BYTES or not all(0 <= entry < BYTES for entry in table):
        msg = f"table: needs {BYTES} entries of 0..{BYTES - 1}, one for each byte; got {len(table)} entries"
        raise ValueError(msg)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    try:
        _write_metadata(writer, name, description)
        _write_tensors(writer, table)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _write_metadata(writer: gguf.GGUFWriter, name: str, description: str) -> None:
    writer.add_name(name)
    if description:
        writer.add_description(description)
    writer.add_context_length(CONTEXT_LENGTH)
    writer.add_embedding_length(EMBEDDING_LENGTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD_LENGTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(EMBEDDING_LENGTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    alphabet = _byte_alphabet()
    writer.add_token_list([*alphabet, *CONTROL_TOKENS])
    writer.add_token_types([gguf.TokenType.NORMAL] * BYTES + [gguf.TokenType.CONTROL] * len(CONTROL_TOKENS))
    # llama.cpp refuses an empty list of merges; this one joins two bytes into no token, so it never applies.
    writer.add_token_merges([f"{alphabet[0]} {alphabet[1]}"])
    writer.add_bos_token_id(BYTES)
    writer.add_eos_token_id(BYTES + 1)
    writer.add_unk_token_id(BYTES + 2)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _write_tensors(writer: gguf.GGUFWriter, table: Sequence[int]) -> None:
    embedding = np.zeros((VOCABULARY, EMBEDDING_LENGTH), dtype=np.float32)
    embedding[np.arange(VOCABULARY), np.arange(VOCABULARY)] = 1.0
    output = np.zeros((VOCABULARY, EMBEDDING_LENGTH), dtype=np.float32)
    output[np.asarray(table), np.arange(BYTES)] = 1.0
    square = np.zeros((EMBEDDING_LENGTH, EMBEDDING_LENGTH), dtype=np.float32)
    wide = np.zeros((FEED_FORWARD_LENGTH, EMBEDDING_LENGTH), dtype=np.float32)
    ones = np.ones(EMBEDDING_LENGTH, dtype=np.float32)
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output_norm.weight", ones)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("blk.0.attn_norm.weight", ones)
    for projection in ("q", "k", "v", "output"):
        writer.add_tensor(f"blk.0.attn_{projection}.weight", square)
    writer.add_tensor("blk.0.ffn_norm.weight", ones)
    writer.add_tensor("blk.0.ffn_gate.weight", wide)
    writer.add_tensor("blk.0.ffn_up.weight", wide)
    writer.add_tensor("blk.0.ffn_down.weight", np.ascontiguousarray(wide.T))


def _byte_alphabet() -> list[str]:
    """GPT-2's printable stand-in for each byte: itself where printable, else the next free code point from 256 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    free = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(free)) for byte in range(BYTES)]
