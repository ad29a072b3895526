"""Writes a chat model that says nothing at all, very fast, for a real server to serve.

    python tiny_model.py OUT.gguf

It has the shape of a Llama with two small layers of random weights: half a megabyte, thousands of tokens a
second on one core. Only letters and the space are ever likely, and the token that ends a text never is, so
that each answer is plain text of exactly as many tokens as were asked for. Needs the package `gguf`.
"""

import string
import sys

import gguf
import numpy

WIDTH, HIDDEN, LAYERS, HEADS = 64, 128, 2, 4
CONTEXT = 8192
SPOKEN = ["\u2581", *string.ascii_lowercase]  # SentencePiece writes a space so


def vocabulary():
    """Tokens, their types and their scores; each byte is a token, so that any prompt can be read."""
    kind = gguf.TokenType
    special = [("<unk>", kind.UNKNOWN), ("<s>", kind.CONTROL), ("</s>", kind.CONTROL)]
    bytewise = [(f"<0x{byte:02X}>", kind.BYTE) for byte in range(256)]
    spoken = [(text, kind.NORMAL) for text in SPOKEN]
    tokens, types = zip(*special, *bytewise, *spoken)
    return tokens, types, [0.0] * (len(tokens) - len(spoken)) + [-1.0] * len(spoken)


def weights(tokens):
    """By the names that llama.cpp gives them."""
    random = numpy.random.default_rng(20)

    def noise(rows, columns, size=0.02):
        return (size * random.standard_normal((rows, columns))).astype(numpy.float32)

    ones = numpy.ones(WIDTH, numpy.float32)
    # The first number of each embedding is the same. The layers hardly change it, and what is not spoken
    # weighs it against itself.
    embedding = noise(tokens, WIDTH, 0.1)
    embedding[:, 0] = 1.0
    output = noise(tokens, WIDTH, 0.1)
    output[: tokens - len(SPOKEN), 0] = -8.0
    yield "token_embd.weight", embedding
    yield "output_norm.weight", ones
    yield "output.weight", output
    for layer in range(LAYERS):
        for part in ("attn_norm", "ffn_norm"):
            yield f"blk.{layer}.{part}.weight", ones
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"blk.{layer}.{part}.weight", noise(WIDTH, WIDTH)
        for part in ("ffn_gate", "ffn_up"):
            yield f"blk.{layer}.{part}.weight", noise(HIDDEN, WIDTH)
        yield f"blk.{layer}.ffn_down.weight", noise(WIDTH, HIDDEN)


def main(path):
    tokens, types, scores = vocabulary()
    model = gguf.GGUFWriter(path, "llama")
    model.add_name("tiny")
    model.add_context_length(CONTEXT)
    model.add_embedding_length(WIDTH)
    model.add_feed_forward_length(HIDDEN)
    model.add_block_count(LAYERS)
    model.add_head_count(HEADS)
    model.add_head_count_kv(HEADS)
    model.add_rope_dimension_count(WIDTH // HEADS)
    model.add_layer_norm_rms_eps(1e-5)
    model.add_file_type(gguf.LlamaFileType.ALL_F32)
    model.add_tokenizer_model("llama")
    model.add_tokenizer_pre("default")
    model.add_vocab_size(len(tokens))
    model.add_token_list(tokens)
    model.add_token_types(types)
    model.add_token_scores(scores)
    model.add_unk_token_id(0)
    model.add_bos_token_id(1)
    model.add_eos_token_id(2)
    model.add_chat_template(
        "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    )
    for name, tensor in weights(len(tokens)):
        model.add_tensor(name, tensor)
    model.write_header_to_file()
    model.write_kv_data_to_file()
    model.write_tensors_to_file()
    model.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
