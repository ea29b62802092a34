#!/usr/bin/env bash
# Build the three libraries of FFmpeg that libcavsync needs in FOLDER, from the source package of this Debian release:
# shared, under the LGPL 2.1 or later (nothing of FFmpeg's GPL parts), and without any other library. For wheels.
#   build_ffmpeg.sh FOLDER
set -euo pipefail
mkdir -p "$1/apt/lists/partial" "$1/apt/cache/archives/partial"
folder=$(cd "$1" && pwd)

# The mirror and the release of this system's own Debian packages.
read -r mirror release < <(apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
  awk '$1 == "Debian" && $2 !~ /-/ { print $3, $4; exit }')
printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$mirror" "$release" \
  /usr/share/keyrings/debian-archive-keyring.gpg > "$folder/apt/source.sources"
options=(-o "Dir::Etc::sourcelist=$folder/apt/source.sources" -o Dir::Etc::sourceparts=/dev/null
  -o "Dir::State::lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt/cache" -o APT::Sandbox::User=root)
apt-get "${options[@]}" update -qq
rm -rf "$folder/source"
mkdir "$folder/source"
(cd "$folder/source" && apt-get "${options[@]}" source -qq ffmpeg > /dev/null)

# `hypot` got a new version in glibc 2.35; the one before it lets the libraries load with glibc 2.34, too.
cat > "$folder/older_glibc.h" << 'END'
#if defined(__x86_64__)
__asm__(".symver hypot,hypot@GLIBC_2.2.5");
#elif defined(__aarch64__)
__asm__(".symver hypot,hypot@GLIBC_2.17");
#endif
END

cd "$folder"/source/ffmpeg-*/
./configure --prefix="$folder" --enable-shared --disable-static --disable-autodetect --disable-everything --disable-programs \
  --disable-doc --disable-debug --disable-network --disable-avcodec --disable-avformat --disable-avfilter --disable-avdevice \
  --disable-postproc --enable-swscale --enable-swresample --extra-cflags="-include $folder/older_glibc.h" > "$folder/configure.log"
grep -x 'License: LGPL version 2.1 or later' "$folder/configure.log"
make --silent --jobs "$(nproc)" > "$folder/make.log" 2>&1 || { tail -n 30 "$folder/make.log" >&2; exit 1; }
make --silent install > /dev/null
# What goes into a wheel beside them: their licence, and those of what is compiled into libcavsync.
mkdir -p "$folder/licences"
cp COPYING.LGPLv2.1 "$folder/licences/ffmpeg-LGPL-2.1.txt"
cp LICENSE.md "$folder/licences/ffmpeg-LICENSE.md"
cp /usr/share/doc/libssl-dev/copyright "$folder/licences/openssl-copyright.txt"
cp /usr/share/doc/nlohmann-json3-dev/copyright "$folder/licences/nlohmann-json-copyright.txt"
