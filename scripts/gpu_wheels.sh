#!/usr/bin/env bash
# Collect the wheels that a machine with Python 3.12 (x86-64 Linux) and torch may lack, for one
# without a network: what gantrain and its tests need, but not torch, numpy and pillow themselves.
#
#   scripts/gpu_wheels.sh [DIR]      DIR: where they go (wheels/); wheels already there are replaced
#
# Any Python with pip does (PYTHON=...; python3), on any system. Exit code 1: pip failed, or the
# wheels are more than 30 MB together; what was in DIR is then as it was.
set -euo pipefail

case $#${1:-} in
  0 | 1[!-]*) ;;
  *) echo "usage: scripts/gpu_wheels.sh [DIR]" >&2; exit 2 ;;
esac

most=30 # MB, 10^6 bytes
python=${PYTHON:-python3}
target=${1:-wheels}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Every name, those needed by others too: pip, asked what depends on what, would answer for the
# Python and the system it runs on itself.
names=(
  hydra-core omegaconf antlr4-python3-runtime pyyaml
  rich markdown-it-py mdurl pygments
  tensorboard tensorboard-data-server absl-py grpcio markdown protobuf werkzeug markupsafe
  setuptools packaging typing-extensions
  pytest iniconfig pluggy pytest-xdist execnet
)
antlr=antlr4-python3-runtime==4.9.3 # what omegaconf 2.3 wants; published without a wheel

mkdir -p "$target"
work=$(mktemp -d "$target/.new.XXXXXX") # on the same disk, so that moving cannot fail half-way
trap 'rm -rf "$work"' EXIT

# The bounds of pyproject.toml, one a line: "hydra-core>=1.3.8,<1.4" and so on.
grep -oE '"[A-Za-z0-9-]+[<>=][^"]*"' "$root/pyproject.toml" | tr -d '"' >"$work/bounds.txt"

"$python" -m pip wheel -q --no-deps --wheel-dir "$work/built" "$antlr" || {
  echo "pip could not make $antlr: is a package index in reach of this machine?" >&2
  exit 1
}

# Resolved together, so that the versions fit each other.
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

# Without what is not named: numpy and pillow, which tensorboard needs and the machine has.
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
  echo "The wheels are $size together, more than $most MB, so $target is left as it was." >&2
  exit 1
fi
rm -f "$target"/*.whl
mv "$work"/kept/*.whl "$target/"

printf -v place %q "$target"
echo "${#names[@]} wheels, $size, in $target. On the machine, beside that folder:"
echo "python3 -m pip install -q --no-index --no-deps --no-compile --target gpu-site $place/*.whl"
# The single quotes are meant: it is the machine's folder that counts.
# shellcheck disable=SC2016
echo 'export PYTHONPATH="$PWD/gpu-site${PYTHONPATH:+:$PYTHONPATH}"'
