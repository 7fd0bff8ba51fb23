# Build and try FourDHands with nothing but CPython 3.10-3.12 (with venv) and make:
#
#   make demo                  render a clip of two hands, track it through the ROS 2 node, measure against the ground truth
#   make demo VIDEO=file.mp4   the same on a video; make demo CAMERA=0 the same on a live camera (Ctrl-C ends it)
#   make test                  all tests; ARGS="-k name" is passed on to pytest
#   make check                 the part of the tests that takes two minutes
#   make lint                  format, lint and types of all code, a minute
#   make install               only the virtual environment that all of them use
#
# PYTHON=python3.12 chooses the interpreter, VENV=folder the environment's place, ARGS="..." adds arguments.

VENV ?= .venv
SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.12 python3.11 python3.10; do \
	$$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
endif

BIN := $(VENV)/bin
INSTALLED := $(VENV)/fourdhands-installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

CHECKED := $(addprefix test/, test_architecture.py test_geometry_camera.py test_geometry_rotations.py test_perception_identity.py \
	test_pipeline_session.py test_pipeline_refinement.py test_pipeline_translation.py test_cli.py test_packaging.py \
	ros/test_ros_messages.py ros/test_ros_node.py ros/test_ros_outputs.py)

# Inside a sourced ROS workspace, its Python packages and libraries would mix with those of the virtual environment.
ifdef ROS_DISTRO
unexport PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH
endif

.PHONY: demo test check lint install clean
.DEFAULT_GOAL := install

demo: $(INSTALLED)
	$(BIN)/python -m fourdhands_ros.tools.demo $(if $(VIDEO),--video "$(VIDEO)") $(if $(CAMERA),--camera "$(CAMERA)") $(ARGS)

test: $(INSTALLED)
	$(BIN)/python -m pytest -q test $(ARGS)

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
		echo "FourDHands needs CPython 3.10, 3.11 or 3.12$(if $(PYTHON), and $(PYTHON) is not one);" \
			"install one and name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	"$(PYTHON)" -m venv "$(VENV)"
	$(PIP) install -q -c constraints.txt setuptools
	$(PIP) install -q -c constraints.txt --no-build-isolation --use-pep517 -e ".[ros,test,lint,render,torch,mano,onnx,train]"
	$(PIP) install -q --no-deps -r requirements-mediapipe.txt
	@touch "$@"

clean:
	rm -rf "$(VENV)" build demo_output *.egg-info
