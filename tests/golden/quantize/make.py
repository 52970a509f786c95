"""What mx.quantize gives for groups of numbers that are easy to get wrong: writes groups/cases.safetensors beside this file."""

import pathlib

import mlx.core as mx
import numpy as np

HERE = pathlib.Path(__file__).parent
WIDE = 128
DTYPES = {"f32": mx.float32, "f16": mx.float16, "bf16": mx.bfloat16}


def rows(rng):
    """Rows of 128 numbers, which are one to eight groups."""
    normal = rng.standard_normal(WIDE)
    yield from (normal, np.full(WIDE, -0.37), np.zeros(WIDE), -np.zeros(WIDE))
    for outlier in (7.0, -7.0):
        row = rng.standard_normal(WIDE) * 1e-3
        row[::32] = outlier
        yield row
    yield -np.abs(normal)
    yield from (rng.integers(-8, 8, WIDE) * 1.0, rng.integers(-16, 16, WIDE) / 2.0)
    yield from (6 * 2.0 ** rng.integers(-8, 8, WIDE), 448 * 2.0 ** rng.integers(-3, 1, WIDE))
    for power in (-7, -4, 3):
        yield rng.standard_normal(WIDE) * 10.0**power


def main():
    mx.set_default_device(mx.cpu)
    rng = np.random.default_rng(9)
    numbers = np.stack(list(rows(rng))).astype(np.float32)
    tiny = np.stack([rng.standard_normal(WIDE) * scale for scale in (1e-40, 1e-9, 1e36)]).astype(np.float32)
    out = {}
    for name, dtype in DTYPES.items():
        values = mx.array(numbers if name == "f16" else np.concatenate([numbers, tiny])).astype(dtype)
        out[f"{name}.values"] = values
        for bits in (2, 3, 4, 5, 6, 8) if name == "bf16" else (3, 8):
            for group in (32, 64, 128) if name == "bf16" and bits in (2, 4, 5) else (32,):
                codes, scales, biases = mx.quantize(values, group_size=group, bits=bits)
                at = f"{name}.affine.{bits}.{group}"
                out |= {f"{at}.codes": codes, f"{at}.scales": scales, f"{at}.biases": biases}
        # Below 2^-126 mlx's exponents of the MX formats wrap round: see encode/microscaled.rs.
        sound = values[: len(numbers)]
        for mode in ("mxfp4", "mxfp8", "nvfp4"):
            codes, scales = mx.quantize(sound, mode=mode)
            out |= {f"{name}.{mode}.codes": codes, f"{name}.{mode}.scales": scales}
    mx.save_safetensors(str(HERE / "groups" / "cases.safetensors"), out)


if __name__ == "__main__":
    main()
