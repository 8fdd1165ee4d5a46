"""Write the TorchScript files here; run with torch 2.13: python make_torch.py."""

import zipfile
from pathlib import Path

import torch
from network import BIAS, KERNEL, MATRIX, SHAPE

HERE = Path(__file__).parent


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.linear = torch.nn.Linear(4, 5, bias=False)
        with torch.no_grad():
            self.convolution.weight.copy_(torch.tensor(KERNEL))
            self.convolution.bias.copy_(torch.tensor(BIAS))
            self.linear.weight.copy_(torch.tensor(MATRIX.T.copy()))

    def forward(self, image):
        above = torch.relu(self.convolution(image))
        return torch.softmax(self.linear(above.mean((2, 3))), -1), above + 1


class Difference(torch.nn.Module):
    def forward(self, left, right):
        return left - right, left * 2 + right


class Rare(torch.nn.Module):
    def forward(self, image):
        return torch.special.i0(torch.lgamma(image))


network, image = Network().eval(), torch.rand(SHAPE)
torch.jit.trace(network, image).save(HERE / "network.pt")
torch.jit.script(network).save(HERE / "scripted.pt")
torch.save(network.state_dict(), HERE / "weights.pth")
torch.jit.trace(Difference(), (image, image)).save(HERE / "difference.pt")
torch.jit.trace(Rare(), image).save(HERE / "rare.pt")

# Without the paths of the machine that wrote them.
for path in HERE.glob("*.pt"):
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if not name.endswith(".debug_pkl")}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in kept.items():
            archive.writestr(zipfile.ZipInfo(name), content)
