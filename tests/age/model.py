"""A body with one number on top: years as shares of a century."""

from dataclasses import replace

from torch import Tensor, nn
from torch.nn import functional

from backbone.bodies import build_body, default_flavour
from backbone.flavour import Flavour
from backbone.layers import Normalize
from tasks.body_network import BodyNetwork
from tasks.body_spec import ClassifierSpec
from tests.age.spec import SPAN


class AgeNet(BodyNetwork):
    """Normalisation, body, a linear layer with one output, and the loss."""

    def __init__(self, spec: ClassifierSpec, flavour: Flavour | None = None) -> None:
        super().__init__()
        flavour = flavour or default_flavour(spec.backbone)
        flavour = replace(flavour, input=replace(flavour.input, size=spec.size))
        self.spec = spec
        self.normalize = Normalize(flavour.input)
        self.body = build_body(
            spec.backbone,
            alpha=spec.alpha,
            variant=spec.variant,
            stem_stride=spec.stem_stride,
            flavour=flavour,
        )
        self.head: nn.Module = self.body.make_classifier(1, 0.0)
        self.last_stride = max(self.body.channels)

    def from_features(self, features: dict[int, Tensor]) -> Tensor:
        shares: Tensor = self.head(features[self.last_stride])
        return shares

    def forward(self, images: Tensor, targets: Tensor | None = None) -> dict[str, Tensor] | Tensor:
        shares: Tensor = self.raw(images)
        if not self.training:
            return shares
        assert targets is not None
        wanted = targets.float()[:, None] / SPAN
        return {"age": functional.smooth_l1_loss(shares.float(), wanted)}
