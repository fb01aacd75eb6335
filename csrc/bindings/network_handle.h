// NetworkHandle is the native object behind _core.Scorer, shared with the pipeline's bindings.
#pragma once

#include <memory>

#include "score/feeder.h"
#include "score/network.h"

namespace imn::bindings {

// Lock the feeder with the GIL released: the previous one may need the GIL to finish.
struct NetworkHandle {
  std::unique_ptr<score::Network> network;
  score::Feeder feeder;
};

}  // namespace imn::bindings
