"""What the steps of gpu.py share: where they run, and tensors that stay on the device."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch

from onnxq.runtime.library import has_cuda_kernels
from onnxq.runtime.one_operator import OPERATORS, convolution_model, model_of
from onnxq.runtime.sessions import make_session, session_options

TYPES = {np.dtype(np.float32): torch.float32, np.dtype(np.float16): torch.float16, np.dtype(np.int32): torch.int32}
NUMPY_OF_ONNX = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int32)": np.int32}


@dataclass(frozen=True)
class Setting:
    """Where to run ('cuda' or 'cpu'), whether sizes are small, and the folder of the testbed, if there is one."""

    provider: str
    small: bool
    testbed: Path | None

    def missing(self) -> list[str]:
        """What this machine lacks for a full run."""
        needs = {
            "no CUDA device that torch sees": torch.cuda.is_available(),
            "no native library with CUDA kernels (see `onnxq info`)": has_cuda_kernels(),
            "no pytest or hypothesis (step tests)": all(map(importlib.util.find_spec, ("pytest", "hypothesis"))),
            "no compute-sanitizer (step sanitizer)": shutil.which("compute-sanitizer") is not None,
            "no --testbed DIR (step testbed)": self.testbed is not None,
        }
        return [problem for problem, there in needs.items() if not there]

    def empty(self, shape: tuple[int, ...], dtype: Any) -> torch.Tensor:
        """Uninitialized memory on the device."""
        return torch.empty(shape, dtype=TYPES[np.dtype(dtype)], device=self.provider)

    def random(self, shape: tuple[int, ...], dtype: Any) -> torch.Tensor:
        """Normal values on the device."""
        return self.empty(shape, dtype).normal_()

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.provider == "cuda":
            torch.cuda.synchronize()

    def bound(
        self,
        model: onnx.ModelProto | Path,
        x: torch.Tensor,
        *,
        native: bool | None = None,
        options: ort.SessionOptions | None = None,
    ) -> tuple[Callable[[], object], list[torch.Tensor]]:
        """A call that runs a model on the device's own memory, and the tensors that its outputs lie in."""
        session = make_session(model, self.provider, options=options or session_options(native=native))
        binding = session.io_binding()
        (source,) = session.get_inputs()
        kind = NUMPY_OF_ONNX[source.type]
        binding.bind_input(source.name, self.provider, 0, kind, list(x.shape), x.data_ptr())
        outputs = []
        for output in session.get_outputs():
            shape = tuple(len(x) if not isinstance(size, int) else size for size in output.shape)
            outputs.append(self.empty(shape, NUMPY_OF_ONNX[output.type]))
            place = outputs[-1].data_ptr()
            binding.bind_output(output.name, self.provider, 0, NUMPY_OF_ONNX[output.type], list(shape), place)
        self.synchronize()

        def call(_memory: object = (x, outputs)) -> None:  # bound by address: it must live as long as the call
            session.run_with_iobinding(binding)

        return call, outputs


def kernels_once(setting: Setting) -> None:
    """Run every kernel on planes of whole words of 16 bytes and others, and on rows, for a checker to look on."""
    for shape in ((2, 3, 8, 8), (2, 5, 7, 7), (3, 64, 28, 28), (300, 5, 1, 1), (9, 5, 2, 3)):
        values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        for name in OPERATORS:
            for dtype in (np.float32,) if name == "Observe" else (np.float32, np.float16):
                # a copy initializes: a checker does not see torch's kernels
                x = torch.from_numpy(values.astype(dtype)).to(setting.provider)
                run, _ = setting.bound(model_of(name, shape, dtype=dtype), x, native=True)
                run()
    for shape in ((2, 3, 8, 8), (2, 5, 7, 7), (3, 64, 28, 28)):  # of 3 x 3, with strides and dilations
        values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        make_session(convolution_model(shape), setting.provider, native=True).run(None, {"x": values})
