"""styler.losses is importable with torch alone."""

import subprocess
import sys

PROBE = """
import sys, torch
before = set(sys.modules)
for name in ("PIL", "torchvision", "rich", "typer", "msgspec", "safetensors", "scipy"):
    assert name not in sys.modules
    sys.modules[name] = None  # importing it now fails
import styler.losses
loss = styler.losses.WassersteinStyleLoss()
loss(torch.rand(1, 2, 4, 4, requires_grad=True), torch.rand(1, 2, 3, 3)).backward()
for name in sorted(m for m in set(sys.modules) - before if sys.modules[m] is not None):
    print(name)
"""


def test_importing_losses_loads_nothing_but_torch_and_the_standard_library() -> None:
    run = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    loaded = run.stdout.split()
    assert "styler.losses.gram" in loaded
    foreign = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert foreign <= {"styler", "torch", "torchgen"}
    ours = {name for name in loaded if name.startswith("styler")}
    assert {name for name in ours if not name.startswith("styler.losses")} == {
        "styler",
        "styler.errors",
    }
