# make demo       environment, then the toy flagship: a table and the path of report.html (minutes)
# make test       environment, then the tests
# make test-slow  the tests that take minutes each (kills, interpreters, full compiles)
# make compilers  adds the TPU and Hopper compilers to the environment (about 1 GB), so that the
#                 kernel tests compile for devices that are not here
# make PYTHON=/path/to/python3.12 ...   chooses the interpreter
.PHONY: demo test test-slow compilers environment

demo: environment
	@.venv/bin/python -m experiments.run flagship --size toy

# Two halves side by side, since a half uses one core; each with compiled programs of its own.
test: environment
	@mkdir -p .cache; \
	JAX_COMPILATION_CACHE_DIR=$(CURDIR)/.cache/half \
	.venv/bin/python -m pytest -m "not slow" tests/data tests/train > .cache/half.log 2>&1 & \
	half=$$!; \
	.venv/bin/python -m pytest -m "not slow" tests/kernels tests/model tests/experiments \
	tests/test_*.py; ours=$$?; \
	wait $$half; theirs=$$?; cat .cache/half.log; exit $$((ours | theirs))

test-slow: environment
	@.venv/bin/python -m pytest -m slow

compilers:
	@PYTHON="$(PYTHON)" .ci/environment .ci/compilers.lock

environment:
	@PYTHON="$(PYTHON)" .ci/environment
