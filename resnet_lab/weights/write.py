"""A network as the bytes of a file: under torchvision's names, or as safetensors that say what they are."""

import io
import json

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from resnet_lab.config.schema import ModelConfig
from resnet_lab.models.resnet import ResNet
from resnet_lab.weights.naming import state_to_torchvision
from resnet_lab.weights.read import WRITER, About


def torchvision_file(net: ResNet) -> bytes:
    """A torch file of the network's state dict under torchvision's names, whether or not torchvision has such a network."""
    buffer = io.BytesIO()
    torch.save(state_to_torchvision(_plain_state(net)), buffer)
    return buffer.getvalue()


def safetensors_file(net: ResNet, about: About) -> bytes:
    """A safetensors file under our names that says what it is; the same network gives the same bytes."""
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
    return _in_order(to_safetensors(_plain_state(net), metadata))


def _plain_state(net: ResNet) -> dict[str, Tensor]:
    """Tensors on the CPU with memory of their own, in the usual order of dimensions."""
    return {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in net.state_dict().items()}


def _in_order(content: bytes) -> bytes:
    """The same safetensors file with its metadata sorted, which the library writes in an order that changes.

    Eight bytes with the header's length, the header in JSON padded to a multiple of eight, then the numbers.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def unlike_torchvisions(model: ModelConfig) -> list[str]:
    """In what a network is none of torchvision's, in words; none where it has the same layers (not: the same strides)."""
    differing = {
        "plain": model.kind == "plain",
        f"{model.block} blocks": not model.block_facts.in_torchvision,
        f"{model.layout} layout": model.layout != "imagenet",
        f"option {model.shortcut}": model.kind == "residual" and model.shortcut != "B",
        f"width {model.width}": model.layout == "imagenet" and model.width != 64,
    }
    return [words for words, differs in differing.items() if differs]
