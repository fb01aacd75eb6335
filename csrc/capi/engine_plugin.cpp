#include "capi/engine_plugin.h"

#include "core/error.h"

namespace imn::capi {

std::unique_ptr<score::Network> load_engine(const EngineRequest& request) {
  throw UnavailableError("engine '" + request.name + "': this build loads no engine plug-ins");
}

}  // namespace imn::capi
