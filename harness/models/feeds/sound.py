"""Speech, synthesised: glottal pulses through the resonances of a mouth that moves between vowels.

Source-filter synthesis after Klatt (1980), "Software for a cascade/parallel formant synthesizer": a cascade
of second-order resonators, one per formant. Computed in plain floats and rounded to 16 bits, as a microphone
would give it, so that every host hears the same.
"""

import math
import random
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.errors import PocketbenchError
from harness.models.feeds import Feed
from harness.spec import Model

RATE_HZ: Final = 16_000
CHUNK: Final = 512
CONTEXT: Final = 64
MEASURED_CHUNK: Final = 22
"""The chunk that is the feed: in the middle of a vowel, 0.7 s into the utterance."""
CHUNKS: Final = MEASURED_CHUNK + 8
STATE: Final = Path(__file__).with_name("speech_state.npy")
"""Float32 2x1x128: what Silero VAD 6.2.3 remembers after the chunks before MEASURED_CHUNK of utterance 0."""

VOWELS_HZ: Final = {
    "a": (730.0, 1090.0, 2440.0, 3400.0),
    "e": (530.0, 1840.0, 2480.0, 3500.0),
    "i": (270.0, 2290.0, 3010.0, 3700.0),
    "o": (570.0, 840.0, 2410.0, 3300.0),
    "u": (300.0, 870.0, 2240.0, 3200.0),
}
"""Formants of men's vowels after Peterson and Barney (1952); the fourth is a usual value."""
BANDWIDTHS_HZ: Final = (60.0, 90.0, 130.0, 220.0)
SYLLABLE_S: Final = 0.2


def speech(model: Model, photo: Path | None, seed: int) -> Feed:
    """One streaming step of a voice activity detector: a chunk with its context, and what it remembers.

    The model's first input is the sound, float32 1xN (the last N samples up to the end of the chunk), an
    input named `state` of shape 2x1x128 is the network's memory in the middle of speech; any other memory
    starts empty. Raises PocketbenchError when N is more than the utterance has by then.
    """
    del photo
    sound, *memories = model.inputs
    heard = utterance(seed)[: (MEASURED_CHUNK + 1) * CHUNK]
    if len(sound.shape) != 2 or sound.shape[0] != 1 or not 0 < sound.shape[1] <= heard.size:
        raise PocketbenchError(
            f"model {model.name}: feed 'speech' is for a first input of shape 1xN with N up to {heard.size}, "
            f"not {sound.name} {'x'.join(map(str, sound.shape))}"
        )
    feed: Feed = {sound.name: heard[None, -sound.shape[1] :].copy()}
    for memory in memories:
        stored = np.load(STATE) if memory.name == "state" else None
        if stored is not None and stored.shape == memory.shape:
            feed[memory.name] = stored
        else:
            feed[memory.name] = np.zeros(memory.shape, memory.dtype)
    return feed


def windows(seed: int) -> NDArray[np.float32]:
    """The utterance as Silero VAD streams it: float32, chunks x (64 samples of context + 512)."""
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), utterance(seed)])
    return np.stack([padded[n * CHUNK : (n + 1) * CHUNK + CONTEXT] for n in range(CHUNKS)])


def utterance(seed: int) -> NDArray[np.float32]:
    """A second of syllables at 16 kHz, float32 in -1..1, shape (CHUNKS * CHUNK,)."""
    return np.asarray(_utterance(seed), dtype=np.float32) / np.float32(32768)


@cache
def _utterance(seed: int) -> tuple[int, ...]:
    """The utterance in 16-bit steps."""
    draw = random.Random(seed)  # noqa: S311 - scenery, not secrets
    length = round(RATE_HZ * SYLLABLE_S)
    vowels = [VOWELS_HZ[name] for name in "".join(draw.sample("aeiou", 5)) * 2]
    pitch_hz = draw.uniform(100, 140)
    filters = [[0.0, 0.0] for _ in BANDWIDTHS_HZ]
    phase = 0.0
    wave = []
    for sample in range(CHUNKS * CHUNK):
        syllable, within = divmod(sample, length)
        share = within / length
        phase = (phase + _intonation(pitch_hz, sample) / RATE_HZ) % 1.0
        value = _glottal_pulse(phase) + draw.uniform(-0.02, 0.02)
        towards_next = max(0.0, (share - 0.7) / 0.3)
        for n, bandwidth in enumerate(BANDWIDTHS_HZ):
            formant = (1 - towards_next) * vowels[syllable][n] + towards_next * vowels[syllable + 1][n]
            value = _resonance(value, formant, bandwidth, filters[n])
        wave.append(value * (0.2 + 0.8 * math.sin(math.pi * share)))
    loudest = max(abs(value) for value in wave)
    return tuple(round(value / loudest * 16384) for value in wave)


def _intonation(pitch_hz: float, sample: int) -> float:
    """Pitch that falls over the utterance and trembles a little."""
    time_s = sample / RATE_HZ
    return pitch_hz * (1 - 0.12 * time_s + 0.02 * math.sin(2 * math.pi * 5 * time_s))


def _glottal_pulse(phase: float) -> float:
    """Derivative of Rosenberg's (1971) glottal flow: opens over 40 % of a period, closes over 16 %."""
    opening, closing = 0.4, 0.16
    if phase < opening:
        return math.sin(math.pi * phase / opening) / opening / 2
    if phase < opening + closing:
        return -math.sin(math.pi / 2 * (phase - opening) / closing) / closing / 2
    return 0.0


def _resonance(value: float, centre_hz: float, bandwidth_hz: float, memory: list[float]) -> float:
    """One step of Klatt's digital resonator; `memory` holds its last two outputs."""
    c = -math.exp(-2 * math.pi * bandwidth_hz / RATE_HZ)
    b = 2 * math.exp(-math.pi * bandwidth_hz / RATE_HZ) * math.cos(2 * math.pi * centre_hz / RATE_HZ)
    output = (1 - b - c) * value + b * memory[0] + c * memory[1]
    memory[1], memory[0] = memory[0], output
    return output
