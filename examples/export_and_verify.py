"""Export a run as a bundle, check the bundle, and score a file with it; needs cavsync[export].

python export_and_verify.py run bundle video.mp4
"""

import sys
from pathlib import Path

from cavsync.deploy import Bundle, score_file
from cavsync.export import export_bundle

run, folder, video = (Path(argument) for argument in sys.argv[1:4])
manifest, parity = export_bundle(run, folder, on_stage=print)
for result in parity:
    print(f"{result.artefact}: largest error {result.max_abs_error:.2g}, centred cosine {result.centred_cosine:.4f}")

# Opening checks every byte against the manifest; a bundle with a changed file is refused.
bundle = Bundle.open(folder)
print(f"{bundle.manifest.name}: {len(bundle.manifest.files)} files match their hashes")
verdict = score_file(video, bundle).summary.score
print(verdict.state, verdict.audio_offset_ms, verdict.reason or "")
