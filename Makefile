# SPDX-License-Identifier: GPL-3.0-or-later
# The doors of the project. `make preview` and `make test` install whatever they need first.

BIN := .venv/bin

EXTENSION := $(BIN)/python .venv/lib/python3.11/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py

.PHONY: help preview test test-gui test-matrix lint bench extension repository model-tiny setup clean

help:  ## list these commands
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## make .venv with the locked dependencies; quick when it is current
	@bash .ci/bootstrap.sh

preview: setup  ## a moving preview of the example scene in out/cabinet
	@$(BIN)/puppet-master preview examples/cabinet.blend --out out/cabinet

test: setup  ## run the tests
	@$(BIN)/python -m pytest $(TESTS)

lint: setup  ## check the style
	@$(BIN)/ruff check .

bench: setup  ## measure times and memory
	@for bench in tests/bench/bench_*.py; do $(BIN)/python $$bench || exit $$?; done

extension: setup  ## the Blender extension as a zip in dist/, checked by Blender's own tool
	@mkdir -p dist
	@$(EXTENSION) validate .
	@$(EXTENSION) build --output-dir dist
	@for zip in dist/*.zip; do $(EXTENSION) validate $$zip || exit $$?; done

repository: extension  ## dist/repository: the extension with the index that Blender's preferences read
	@mkdir -p dist/repository && cp dist/*.zip dist/repository/
	@$(EXTENSION) server-generate --repo-dir dist/repository

test-gui: setup  ## drive the add-on in a real Blender window under Xvfb; screenshots in out/gui
	@tests/gui/all.sh out/gui

test-matrix: setup  ## the add-on's tests under bpy 4.2, 4.5, 5.0 and 5.2, as far as the package index has them
	@tests/matrix.sh out/matrix $(VERSIONS)

WORK ?= out/model-tiny

model-tiny: setup  ## make the embedded model anew, from rendering to weights: two hours on a CPU; goes on where it was stopped
	@# 3: some rigs failed; the others make the dataset
	@$(BIN)/puppet-master data render --procedural all:7000 --out $(WORK)/stills --size 128 --frames 14 --seed 11 \
		--still-only --passes paths --workers 2 || test $$? -eq 3
	@OMP_NUM_THREADS=1 $(BIN)/torchrun --standalone --nproc_per_node 2 -m puppet_master.training tiny \
		--set 'data.clips=["$(WORK)/stills"]' --set out=$(WORK) --set publish.out=backend/models/tiny

clean:  ## remove what these commands made, the environment included
	rm -rf .venv out dist build *.egg-info
