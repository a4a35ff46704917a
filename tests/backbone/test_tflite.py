"""TensorFlow Lite files: the body against TensorFlow's own runtime, and damaged files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from backbone.flavour import Flavour
from backbone.formats.folded import body_state, chain_alpha
from backbone.formats.network import BODY_CONVS
from backbone.formats.tflite import read_tflite, tflite_chain, tflite_flavour
from backbone.mobilenet_v1 import MobileNetV1
from tests.backbone.tflite_files import ALPHA, SIZE, write_classifier


def find_or_write(
    request: pytest.FixtureRequest, name: str, folder: Path, *, quantised: bool
) -> Path:
    """A real file of this name, or, for the name "drawn", a small random one."""
    if name != "drawn":
        real: Path = request.getfixturevalue("real_data")
        return real / "weights" / f"{name}.tflite"
    write_classifier(folder / "drawn.tflite", quantised=quantised)
    return folder / "drawn.tflite"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("name", "alpha", "size"), [("drawn", ALPHA, SIZE), ("vww_96_float", 0.25, 96)]
)
def test_a_float_model_gives_the_runtimes_features(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, alpha: float, size: int, seed: int
) -> None:
    """SAME padding, ReLU6, folded batch norm, to 1e-5; the real one tells persons from none."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    path = find_or_write(request, name, tmp_path, quantised=False)
    source = read_tflite(path)
    with pytest.raises(ValueError, match="takes float32 images; uint8 ones are understood"):
        tflite_flavour(source)  # Nothing in the file says in what range.
    flavour = Flavour(activation=source.convs[0].activation)
    body = MobileNetV1(chain_alpha(tflite_chain(source)), flavour).eval()
    body.load_state_dict(body_state(source.convs[:BODY_CONVS]))
    assert body.alpha == alpha
    image = np.random.default_rng(seed).random((1, size, size, 3), dtype=np.float32)
    runtime = litert.Interpreter(
        str(path),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    runtime.allocate_tensors()
    runtime.set_tensor(runtime.get_input_details()[0]["index"], image)
    runtime.invoke()
    with torch.inference_mode():
        ours = body(torch.from_numpy(image).permute(0, 3, 1, 2))[32].permute(0, 2, 3, 1).numpy()
    theirs = [
        runtime.get_tensor(row["index"])
        for row in runtime.get_tensor_details()
        if tuple(row["shape"]) == ours.shape
    ]
    scale = np.abs(ours).max()
    assert min(np.abs(ours - one).max() for one in theirs) < 1e-5 * scale


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "alpha", "size"),
    [
        ("drawn", ALPHA, SIZE),
        ("mobilenet_v1_0.25_128_quant", 0.25, 128),
        ("mobilenet_v1_0.5_160_quant", 0.5, 160),
        ("mobilenet_v1_0.75_192_quant", 0.75, 192),
        ("mobilenet_v1_1.0_224_quant_embedding_extractor", 1.0, 224),
    ],
)
def test_quantised_classifiers_are_read(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, alpha: float, size: int
) -> None:
    source = read_tflite(find_or_write(request, name, tmp_path, quantised=True))
    flavour = tflite_flavour(source)
    body = MobileNetV1(chain_alpha(tflite_chain(source)), flavour)
    body.load_state_dict(body_state(source.convs[:BODY_CONVS]))
    assert body.alpha == alpha
    assert flavour.input.size == size
    # TensorFlow's images run from -1 to 1.
    assert flavour.input.mean[0] == pytest.approx(0.5, abs=0.003)
    assert flavour.input.std[0] == pytest.approx(0.5, abs=0.003)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "x.tflite"
    with pytest.raises(ValueError, match=r"x\.tflite: no such file"):
        read_tflite(file)
    file.write_bytes(b"nonsense" * 10)
    with pytest.raises(ValueError, match="not a TensorFlow Lite file"):
        read_tflite(file)
    file.write_bytes(b"\x1c\x00\x00\x00TFL3" + b"\x07" * 64)
    with pytest.raises(ValueError, match="damaged TensorFlow Lite file"):
        read_tflite(file)


def test_a_cut_file_is_refused(ssd_tflite: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tflite"
    whole = ssd_tflite.read_bytes()
    cut.write_bytes(whole[: len(whole) // 8])
    with pytest.raises(ValueError, match="damaged TensorFlow Lite file"):
        read_tflite(cut)
