// Open an engine of the stand-in for TensorRT and print the sentence with which it is refused, or "opened".
//   tensorrt_open FOLDER RUNTIME CAPABILITY-MAJOR CAPABILITY-MINOR VERSION
// FOLDER/spec.json is the manifest's entry of the graph; the engine is v.engine, of the visual encoder in fp16.
#include <iostream>
#include <sstream>

#include "json_record.h"
#include "manifest_specs.h"
#include "tensorrt_rig.h"

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const std::string folder = argv[1];
  StandIn& machine = stand_in();
  machine.capability_major = std::atoi(argv[3]);
  machine.capability_minor = std::atoi(argv[4]);
  std::istringstream version(argv[5]);
  for (std::int32_t& number : machine.version) {
    version >> number;
    version.ignore();
  }
  std::ostringstream spec;
  spec << std::ifstream(folder + "/spec.json").rdbuf();
  cavsync::EngineSpec engine = engine_spec();
  engine.runtime = argv[2];
  try {
    const cavsync::GraphSpec graph = cavsync::graph_of(cavsync::parse_json(spec.str()), "graph");
    cavsync::open_tensorrt(folder, graph, engine, 0);
    std::cout << "opened\n";
  } catch (const cavsync::Error& error) {
    std::cout << error.what() << "\n";
  }
  return 0;
}
