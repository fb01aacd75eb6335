// Takes the place of openvino_*.cpp in a build with IMN_WITH_OPENVINO=OFF.
#include "core/error.h"
#include "score/network.h"

namespace imn::score {

bool has_openvino() { return false; }

bool cpu_has_bf16() { return false; }

std::unique_ptr<Network> make_openvino_network(const std::string&, const OpenVinoOptions&) {
  throw UnavailableError("this build has no OpenVINO scorer; rebuild with IMN_WITH_OPENVINO=ON, or use scorer='moran'");
}

}  // namespace imn::score
