"""Serialisation of a network: as a torch file with torchvision's names, or as safetensors with metadata."""

import io
import json

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from resnet_lab.config.model import ModelConfig
from resnet_lab.models.resnet import ResNet
from resnet_lab.weights.naming import state_to_torchvision
from resnet_lab.weights.read import WRITER, About


def torchvision_file(net: ResNet) -> bytes:
    """The bytes of a torch file with the state dict under torchvision's names, even if torchvision has no such network."""
    buffer = io.BytesIO()
    torch.save(state_to_torchvision(_cpu_state(net)), buffer)
    return buffer.getvalue()


def safetensors_file(net: ResNet, about: About) -> bytes:
    """The bytes of a safetensors file under our names, with metadata; the same network gives the same bytes."""
    metadata = {
        "format": "pt",
        "writer": WRITER,
        "run": about.run,
        "step": str(about.step),
        "seed": str(about.seed),
        "model": about.model.model_dump_json(),
        "data": about.data.model_dump_json(),
        "normalisation": "RGB / 255 minus the mean image of the training images that data and seed name",
    } | ({} if about.images is None else {"images": about.images})
    return _with_sorted_metadata(to_safetensors(_cpu_state(net), metadata))


def _cpu_state(net: ResNet) -> dict[str, Tensor]:
    """The state dict as contiguous copies on the CPU."""
    return {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in net.state_dict().items()}


def _with_sorted_metadata(content: bytes) -> bytes:
    """A safetensors file with its metadata sorted, since the library writes them in an order that varies.

    The format: eight bytes with the length of the header, the header as JSON padded to a multiple of eight bytes, the tensors.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def torchvision_differences(model: ModelConfig) -> list[str]:
    """How a network differs from torchvision's, in words; empty if it has the same layers (strides are not compared)."""
    differences = {
        "plain": model.kind == "plain",
        f"{model.block} blocks": not model.block_facts.in_torchvision,
        f"{model.layout} layout": model.layout != "imagenet",
        f"option {model.shortcut}": model.kind == "residual" and model.shortcut != "B",
        f"width {model.width}": model.layout == "imagenet" and model.width != 64,
    }
    return [words for words, differs in differences.items() if differs]
