// ONNX Runtime's state of this process, and the memory that its sessions share.
#pragma once

namespace Ort {
struct Env;
struct SessionOptions;
}  // namespace Ort

namespace cavsync {

Ort::Env& onnx_environment();

// Let a session on the CPU take the memory of its activations from one arena of the process, in place of one of its own:
// the graphs of a bundle run one after another. Weights stay apart, and are freed with their session.
void share_memory(Ort::SessionOptions& session_options);

}  // namespace cavsync
