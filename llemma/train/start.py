"""The weights that a stage begins with, which are also what DPO and KTO compare with, however often it is resumed."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import torch

from llemma.core.errors import InputError
from llemma.core.files import sha256_file, stable_hash
from llemma.guard.checkpoints import find_checkpoint, list_checkpoints
from llemma.guard.manifest import check_manifest
from llemma.train.grid import Grid
from llemma.train.model.llama import Llama
from llemma.train.model.weights import load_model, random_model
from llemma.train.objective import NEXT_TOKEN, Objective, Preferred, frozen
from llemma.train.places import StagePlaces
from llemma.train.preflight import check_model_folder
from llemma.train.settings import Settings


class Start:
    """The beginning of a stage; `previous` is the stage that it begins with, where it begins with one."""

    def __init__(self, settings: Settings, previous: StagePlaces | None, grid: Grid) -> None:
        self._settings, self._previous, self._grid = settings, previous, grid

    @functools.cached_property
    def folder(self) -> Path | None:
        """The Hugging Face folder or the checkpoint whose weights it begins with; None where these are noise.

        Raises InputError where it is gone or holds another model.
        """
        plan = self._settings.plan
        if plan.start == "noise":
            return None
        if plan.start == "hf":
            folder = Path(plan.init_from or "")
        else:
            folder = self._grid.from_first(self._checkpoint)
        check_model_folder(folder, self._settings, any_rope_base=plan.start == "stage")
        return folder

    def load(self, device: torch.device) -> Llama:
        """The model at the first step."""
        if self.folder is None:
            return random_model(self._settings.config, device, self._grid.tensor)
        config = None if self._settings.plan.start == "hf" else self._settings.config
        return load_model(self.folder, device, config, self._grid.tensor)

    def with_reference(self) -> Settings:
        """The settings with a hash of the weights that answers are compared with: with others it is another run."""
        preference = self._settings.preference
        if preference is None or not preference.has_reference:
            return self._settings
        assert self.folder is not None  # read_settings refuses to compare with noise
        files = [path for path in sorted(self.folder.glob("*.safetensors")) if path.name != "optimizer.safetensors"]
        return dataclasses.replace(
            self._settings, reference=stable_hash({path.name: sha256_file(path) for path in files})
        )

    def load_objective(self, device: torch.device) -> Objective:
        """What the stage is trained towards; for DPO and KTO a second, frozen model is loaded."""
        preference = self._settings.preference
        if preference is None:
            return NEXT_TOKEN
        reference = frozen(self.load(device), self._settings.precision) if preference.has_reference else None
        return Preferred(preference=preference, reference=reference)

    def _checkpoint(self) -> Path:
        """The checkpoint of the other stage: of the iteration that is named, else its last."""
        stage, previous = self._settings.stage, self._previous
        if previous is None:
            raise InputError(f"{stage}: begins with the stage before, but there is none")
        wanted = self._settings.plan.start_iteration
        checkpoints = dict(list_checkpoints(previous.checkpoints))
        if not previous.record.exists() and (wanted is None or wanted not in checkpoints):
            raise InputError(f"{stage}: begins with {previous.name}, which is not finished: train that stage first")
        if wanted is None:
            found = find_checkpoint(previous.checkpoints)
            if found is None:
                raise InputError(f"{stage}: begins with {previous.name}, whose checkpoints are gone")
            return found.path
        if wanted not in checkpoints:
            there = ", ".join(map(str, sorted(checkpoints))) or "none"
            raise InputError(
                f"{stage}: begins with iteration {wanted} of {previous.name}, which has no checkpoint of it "
                f"(there are: {there}): remove {previous.folder} to train that stage again"
            )
        check_manifest(checkpoints[wanted])
        return checkpoints[wanted]
