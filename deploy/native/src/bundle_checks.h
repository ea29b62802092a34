// Checks of a manifest's graphs against the rest of it.
#pragma once

#include <string>

#include "manifest.h"

namespace cavsync {

// Check that every file has a hash and is what the manifest says.
void verify_files(const std::string& folder, const Manifest& manifest);

// Check the tensors that the scorer uses, and the features that calibrations weigh; return the embeddings' width.
int checked_embedding_dim(const std::string& folder, const Manifest& manifest);

}  // namespace cavsync
