"""What an adapter method has learned, on its own: small, and good for nothing without its base.

The files are peft's: adapter_config.json and adapter_model.safetensors, which
`peft.PeftModel.from_pretrained` reads too (a "prefix" alone is of our own form, and says so).
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from headstart.errors import RunError
from headstart.sources.backbone import Backbone, with_module

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PROMPTS = ("PROMPT_TUNING", "HEADSTART_PREFIX")


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """An adapter: peft's `config`, and `tensors` under peft's names.

    `merged`: the model that it is saved beside has it in its weights already.
    """

    config: dict[str, Any]
    tensors: dict[str, np.ndarray]
    merged: bool

    @property
    def kind(self) -> str:
        """peft's name of the method."""
        return str(self.config["peft_type"])

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(value.nbytes for value in self.tensors.values())

    def save(self, folder: Path) -> None:
        """Write the two files into `folder`, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({n: np.ascontiguousarray(v) for n, v in self.tensors.items()}, folder / WEIGHTS)
        text = json.dumps(self.config, indent=2, ensure_ascii=False, sort_keys=True)
        (folder / CONFIG).write_text(text + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path, *, merged: bool = False) -> Adapter:
        """Read an adapter. Raises RunError where the folder is none, or is damaged."""
        try:
            config = json.loads((folder / CONFIG).read_text("utf-8"))
            return cls(dict(config), load_file(folder / WEIGHTS), merged)
        except FileNotFoundError as error:
            raise RunError(f"{folder} is no adapter: it has no {Path(error.filename).name}.") from (
                None
            )
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            raise RunError(f"The adapter in {folder} is damaged: {error}.") from None

    def onto(self, backbone: Backbone) -> Backbone:
        """Return the base model with this adapter, merged where it can be. The base is not changed.

        Raises RunError where the adapter does not fit the model.
        """
        from headstart.adapt import peft_layers, prompting

        module = copy.deepcopy(backbone.module)
        try:
            if self.kind in PROMPTS:
                prompting.attach(module, backbone, self.config, self.tensors)
                backbone = prompting.shortened(backbone, int(self.config["num_virtual_tokens"]))
            else:
                peft_layers.load(module, self.config, self.tensors)
                peft_layers.merge(module)
        except (ValueError, KeyError, RuntimeError, TypeError) as error:
            raise RunError(
                f"The adapter ({self.kind}) does not fit {backbone.card.id}: {error} It was made "
                f"for {self.config.get('base_model_name_or_path')}."
            ) from None
        return with_module(backbone, module)
