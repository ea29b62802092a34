#!/usr/bin/env bash
# Lay out ONNX Runtime for CMake in FOLDER, as its release archives are: headers from Debian 13's package, unpacked and
# not installed, and the shared library of the Python package `onnxruntime` of PYTHON. For Debian 12, which has neither.
#   fetch_onnxruntime.sh FOLDER PYTHON
set -euo pipefail
folder=$1 python=$2
mkdir -p "$folder/include" "$folder/lib" "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial"
folder=$(cd "$folder" && pwd)

if [ ! -e "$folder/include/onnxruntime_cxx_api.h" ]; then
  # The mirror of this system's own Debian packages.
  mirror=$(apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "Debian" && $2 !~ /-/ { print $3; exit }')
  printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: %s\n' "$mirror" \
    /usr/share/keyrings/debian-archive-keyring.gpg > "$folder/apt/debian13.sources"
  options=(-o "Dir::Etc::sourcelist=$folder/apt/debian13.sources" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt/cache" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update -qq
  (cd "$folder/apt" && apt-get "${options[@]}" download -qq libonnxruntime-dev && dpkg -x libonnxruntime-dev_*.deb headers)
  cp -r "$folder"/apt/headers/usr/include/onnxruntime/. "$folder/include/"
fi

library=$("$python" -c "import importlib.util, pathlib; \
  print(*pathlib.Path(importlib.util.find_spec('onnxruntime').origin).parent.glob('capi/libonnxruntime.so.1*'))")
ln -sf "$library" "$folder/lib/libonnxruntime.so.1"
ln -sf libonnxruntime.so.1 "$folder/lib/libonnxruntime.so"
