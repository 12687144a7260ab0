#!/usr/bin/env bash
# Collect wheels for an offline machine with Python 3.12 (x86-64 Linux) and torch: everything that
# gantrain and its tests need, except torch, numpy and pillow themselves.
#
#   scripts/gpu_wheels.sh [DIR]      DIR: the folder for them (wheels/); existing wheels are replaced
#
# It works with any Python that has pip (PYTHON=..., default python3), on any system. Exit code 1:
# pip failed, or the wheels exceed 30 MB; DIR is then unchanged.
set -euo pipefail

case $#${1:-} in
  0 | 1[!-]*) ;;
  *) echo "usage: scripts/gpu_wheels.sh [DIR]" >&2; exit 2 ;;
esac

most=30 # MB, 10^6 bytes
python=${PYTHON:-python3}
target=${1:-wheels}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# All names, including dependencies of dependencies: pip would resolve those for the Python and the
# system that it runs on.
names=(
  hydra-core omegaconf antlr4-python3-runtime pyyaml
  rich markdown-it-py mdurl pygments
  tensorboard tensorboard-data-server absl-py grpcio markdown protobuf werkzeug markupsafe
  setuptools packaging typing-extensions
  pytest iniconfig pluggy pytest-xdist execnet
)
antlr=antlr4-python3-runtime==4.9.3 # required by omegaconf 2.3; published without a wheel

mkdir -p "$target"
work=$(mktemp -d "$target/.new.XXXXXX") # on the same disk, so that moving cannot fail halfway
trap 'rm -rf "$work"' EXIT

# The bounds in pyproject.toml, one per line: "hydra-core>=1.3.8,<1.4" and so on.
grep -oE '"[A-Za-z0-9-]+[<>=][^"]*"' "$root/pyproject.toml" | tr -d '"' >"$work/bounds.txt"

"$python" -m pip wheel -q --no-deps --wheel-dir "$work/built" "$antlr" || {
  echo "pip could not build $antlr: can this machine reach a package index?" >&2
  exit 1
}

# Resolve all of them together, so that the versions are compatible.
platforms=()
for name in manylinux_2_28_x86_64 manylinux_2_27_x86_64 manylinux_2_26_x86_64 \
  manylinux_2_24_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64 manylinux_2_12_x86_64 \
  manylinux2010_x86_64 manylinux_2_5_x86_64 manylinux1_x86_64; do
  platforms+=(--platform "$name")
done
"$python" -m pip download -q --dest "$work/all" --find-links "$work/built" \
  --python-version 3.12 --implementation cp --abi cp312 --abi abi3 --abi none \
  "${platforms[@]}" --only-binary=:all: \
  --constraint "$work/bounds.txt" "$antlr" "${names[@]}"

# Drop what is not named: numpy and pillow, which tensorboard needs and the machine has.
mkdir "$work/kept"
for name in "${names[@]}"; do
  part=${name//-/[-_.]} # a wheel's name has "_" for "-"
  found=$(find "$work/all" -iname "$part-*.whl")
  [ -n "$found" ] || { echo "pip downloaded no wheel of $name." >&2; exit 1; }
  mv "$found" "$work/kept/"
done

bytes=$(cat "$work"/kept/*.whl | wc -c)
size=$(awk "BEGIN { printf \"%.1f MB\", $bytes / 1e6 }")
if [ "$bytes" -gt $((most * 1000000)) ]; then
  echo "The wheels have $size in total, more than $most MB, so $target is unchanged." >&2
  exit 1
fi
rm -f "$target"/*.whl
mv "$work"/kept/*.whl "$target/"

printf -v place %q "$target"
echo "${#names[@]} wheels, $size, in $target. On the machine, next to that folder:"
echo "python3 -m pip install -q --no-index --no-deps --no-compile --target gpu-site $place/*.whl"
# The single quotes are intended: the variables expand on the machine.
# shellcheck disable=SC2016
echo 'export PYTHONPATH="$PWD/gpu-site${PYTHONPATH:+:$PYTHONPATH}"'
