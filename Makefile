# Two commands set up a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := out/chelsea+flow_field.png

.PHONY: demo test lint bench bench-visualize bench-batch bench-gradients bench-race distill clean

demo: $(READY)  ## Paint a cat in the manner of a night sky; prints where the picture is.
	@mkdir -p out
	$(BIN)/styler transfer samples/contents/chelsea.jpg samples/styles/flow_field.jpg -o $(DEMO) --overwrite
	@echo "The picture is in $(abspath $(DEMO))"

test: $(READY)  ## The whole test suite.
	$(BIN)/python -m pytest

lint: $(READY)  ## Style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## Speed and memory beside a peer.
	$(BIN)/python benchmarks/transfer.py

bench-visualize: $(READY)  ## The same for feature visualization.
	$(BIN)/python benchmarks/visualize.py

bench-batch: $(READY)  ## The same for folders of pictures.
	$(BIN)/python benchmarks/batch.py

bench-gradients: $(READY)  ## Time and memory of a gradient as pictures grow.
	$(BIN)/python benchmarks/gradients.py

bench-race: $(READY)  ## How soon a peer's loss is reached.
	$(BIN)/python benchmarks/race.py

# Such as: make distill TEACHER=vgg19-caffe.safetensors DATA="photos/ textures.tar"
OUT ?= out/vgg-lite.safetensors
distill: $(READY)  ## Train the embedded network anew; goes on where it was interrupted.
	@test -n "$(TEACHER)" -a -n "$(DATA)" || { echo "give TEACHER=FILE and DATA=\"PLACE ...\""; exit 2; }
	@mkdir -p $(dir $(OUT))
	$(BIN)/python -m styler.training.distill --teacher $(TEACHER) $(DATA:%=--data %) --out $(OUT)

clean:
	rm -rf $(VENV) out build dist

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@
