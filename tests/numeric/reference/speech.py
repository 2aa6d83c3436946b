"""Whisper as transformers computes it, small and with random weights; the encoder's positions are its sinusoids."""
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from .checkpoints import published, scramble

SMALL = dict(vocab=61, mels=8, dim=32, heads=4, depth=2, ffn=48, sounds=20, positions=16)


def make():
    config = WhisperConfig(vocab_size=SMALL["vocab"], num_mel_bins=SMALL["mels"], d_model=SMALL["dim"],
                           encoder_layers=SMALL["depth"], decoder_layers=SMALL["depth"],
                           encoder_attention_heads=SMALL["heads"], decoder_attention_heads=SMALL["heads"],
                           encoder_ffn_dim=SMALL["ffn"], decoder_ffn_dim=SMALL["ffn"], max_source_positions=SMALL["sounds"],
                           max_target_positions=SMALL["positions"], pad_token_id=0, bos_token_id=1, eos_token_id=2,
                           decoder_start_token_id=1, begin_suppress_tokens=None, attn_implementation="sdpa")
    return scramble(WhisperForConditionalGeneration(config), 61)


weights = published


def cases(model):
    generator = torch.Generator().manual_seed(62)
    sound = torch.randn((2, SMALL["mels"], 2 * SMALL["sounds"]), generator=generator)
    ids = torch.randint(SMALL["vocab"], (2, 13), generator=generator)
    heard = torch.randn((2, 11, SMALL["dim"]), generator=generator)
    decode = lambda heard, ids: model(encoder_outputs=(heard,), decoder_input_ids=ids).logits
    logits = lambda sound, ids: model(input_features=sound, decoder_input_ids=ids).logits
    yield "encode", dict(sound=sound), lambda sound: model.model.encoder(sound).last_hidden_state, dict(set=SMALL)
    yield "decode", dict(heard=heard, ids=ids), decode, dict(set=SMALL)
    yield "logits", dict(sound=sound, ids=ids), logits, dict(set=SMALL)
