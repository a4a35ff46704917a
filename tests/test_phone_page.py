"""The C++ program of docs/phone.md, compiled and run; the rest of it has no compiler here."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tasks.runtime.open import open_export
from tests.exports import Exports, photos

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow


def test_the_cpp_program(exports: Exports, tmp_path: Path) -> None:
    """It tells the same class, and its probability, as the export does in Python."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler is here")
    libraries = list((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if not libraries:
        pytest.skip("ONNX Runtime's package holds no shared library here")
    page = (ROOT / "docs" / "phone.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```cpp\n(.*?)```", page, flags=re.DOTALL)
    (program,) = [block for block in blocks if "int main" in block]
    library = tmp_path / "libonnxruntime.so.1"  # As programs look for it.
    library.symlink_to(libraries[0])
    (tmp_path / "classify.cpp").write_text(program, encoding="utf-8")
    command = [
        *(compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "classify.cpp", "-o", "classify"),
        *("-I", str(ROOT / "tests" / "phone"), str(library), f"-Wl,-rpath,{tmp_path}"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    file = exports.file("classifier")
    for photo in photos():
        height, width = photo.shape[:2]
        ppm = tmp_path / "photo.ppm"
        ppm.write_bytes(f"P6\n{width} {height}\n255\n".encode() + photo.tobytes())
        told = subprocess.run(
            [tmp_path / "classify", file, ppm], capture_output=True, text=True, check=True
        ).stdout.split()
        shares = open_export(file, 1)([photo])[0]["probabilities"]
        assert int(told[0]) == int(shares.argmax())
        np.testing.assert_allclose(float(told[1]), shares.max(), rtol=1e-4)
    (tmp_path / "photo.ppm").write_bytes(b"GIF89a")
    bad = subprocess.run([tmp_path / "classify", file, ppm], capture_output=True, check=False)
    assert bad.returncode == 2
