# Build and try FourDHands with nothing but CPython (VERSIONS below, with venv) and make:
#
#   make demo                  render a clip of two hands, track it through the ROS 2 node, measure against the ground truth
#   make demo VIDEO=file.mp4   the same on a video; make demo CAMERA=0 the same on a live camera (Ctrl-C ends it)
#   make demo-teleop           a rendered person picks a cube up, and a simulated robot does the same over DDS; VIDEO, CAMERA too
#   make test                  all tests, in three processes (JOBS=4: four); ARGS="-k name" is passed on to pytest
#   make test-extras           tests that need more, each beside VENV: lerobot (3 GB), Ray, storages, a browser (playwright, a Chromium)
#   make check                 the part of the tests that takes two minutes
#   make lint                  format, lint and types of all code, a minute
#   make install               only the virtual environment that all of them use
#
# PYTHON=python3.12 chooses the interpreter, VENV=folder the environment's place, ARGS="..." adds arguments.

VENV ?= .venv
JOBS ?= 3
VERSIONS := 3.12 3.11 3.10
SUPPORTED := import sys; sys.exit("%d.%d" % sys.version_info[:2] not in "$(VERSIONS)".split())
ifndef PYTHON
PYTHON := $(shell for p in python3 $(VERSIONS:%=python%); do \
	$$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
endif

BIN := $(VENV)/bin
INSTALLED := $(VENV)/fourdhands-installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

CHECKED := $(addprefix test/, test_architecture.py test_geometry_camera.py test_geometry_calibration.py test_geometry_rotations.py \
	test_perception_identity.py test_pipeline_session.py test_pipeline_refinement.py test_pipeline_translation.py test_cli.py \
	test_packaging.py ros/test_ros_messages.py ros/test_ros_node.py ros/test_ros_outputs.py)

# Inside a sourced ROS workspace, its Python packages and libraries would mix with those of the virtual environment.
ifdef ROS_DISTRO
unexport PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH
endif

.PHONY: demo demo-teleop test test-extras check lint install clean
.DEFAULT_GOAL := install

demo: $(INSTALLED)
	$(BIN)/python -m fourdhands_ros.tools.demo $(if $(VIDEO),--video "$(VIDEO)") $(if $(CAMERA),--camera "$(CAMERA)") $(ARGS)

demo-teleop: $(INSTALLED)
	$(BIN)/python -m fourdhands_ros.tools.demo_teleop $(if $(VIDEO),--video "$(VIDEO)") $(if $(CAMERA),--camera "$(CAMERA)") $(ARGS)

# One process more than a small machine has cores, as a third of the tests' time is spent waiting for other processes. A worker that
# dies ends the run with the name of its test: pytest-xdist 3.8 waits for good where it restarts one.
test: $(INSTALLED)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 test $(ARGS)

# The newest lerobot wants CPython 3.12 or newer; its torch is not this package's, so that it has an environment of its own.
LEROBOT_PYTHON ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.12.*/bin/python3.12 $(HOME)/.pyenv/versions/3.13.*/bin/python3.13) python3.12)
LEROBOT := $(VENV)-lerobot/installed
RAY := $(VENV)-ray/installed
PLAYWRIGHT := $(VENV)-playwright/installed
STORAGES := $(VENV)-storages/installed

# Without CPython 3.12 there is no lerobot of today: its tests are then skipped, and say so.
test-extras: $(INSTALLED) $(PLAYWRIGHT) $(RAY) $(STORAGES)
	@$(MAKE) --no-print-directory $(LEROBOT) || echo "lerobot could not be installed: its tests are skipped" >&2
	PYTHONPATH="$(abspath $(VENV))-playwright" FOURDHANDS_LEROBOT="$(abspath $(VENV))-lerobot/bin/python" FOURDHANDS_RAY="$(abspath $(VENV))-ray" \
		FOURDHANDS_STORAGES="$(abspath $(VENV))-storages" $(BIN)/python -m pytest -q test_extras $(ARGS)

$(LEROBOT): Makefile
	"$(LEROBOT_PYTHON)" -m venv "$(VENV)-lerobot"
	"$(VENV)-lerobot/bin/python" -m pip --disable-pip-version-check install -q "lerobot[dataset]==0.6.1"
	@touch "$@"

# Beside this package's environment and with its versions, not in it.
$(RAY): Makefile constraints.txt $(INSTALLED)
	$(PIP) install -q -c constraints.txt --target "$(VENV)-ray" --upgrade "ray[client]"
	@touch "$@"

# What fsspec reaches servers with, and servers to be reached; s3fs is of fsspec's version in constraints.txt.
$(STORAGES): Makefile constraints.txt $(INSTALLED)
	$(PIP) install -q --target "$(VENV)-storages" --upgrade paramiko aiohttp s3fs==2026.9.0 "moto[server]>=5"
	@touch "$@"

$(PLAYWRIGHT): $(INSTALLED)
	$(PIP) install -q --target "$(VENV)-playwright" --upgrade "playwright>=1.50"
	@touch "$@"

check: $(INSTALLED)
	$(BIN)/python -m pytest -q $(CHECKED) $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(INSTALLED)

# The stamp file is written last: a run that was interrupted installs again, a finished one never does.
$(INSTALLED): setup.py constraints.txt requirements-mediapipe.txt
	@"$(PYTHON)" -c '$(SUPPORTED)' 2>/dev/null || { \
		echo "FourDHands needs CPython, one of $(VERSIONS)$(if $(PYTHON),: $(PYTHON) is none of them);" \
			"install one and name it: make PYTHON=/path/to/python$(firstword $(VERSIONS))" >&2; exit 1; }
	"$(PYTHON)" -m venv "$(VENV)"
	$(PIP) install -q -c constraints.txt setuptools
	$(PIP) install -q -c constraints.txt --no-build-isolation --use-pep517 -e ".[ros,test,parallel,lint,render,torch,mano,onnx,train,robot,view,dataset]"
	$(PIP) install -q -c constraints.txt absl-py attrs flatbuffers matplotlib protobuf
	$(PIP) install -q --no-deps -r requirements-mediapipe.txt
	@touch "$@"

clean:
	rm -rf "$(VENV)" "$(VENV)-playwright" "$(VENV)-lerobot" "$(VENV)-ray" "$(VENV)-storages" build demo_output demo_teleop_output *.egg-info
