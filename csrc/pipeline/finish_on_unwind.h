// Waiting for the device when a scope ends, whatever ends it.
#pragma once

#include "pipeline/device_backend.h"

namespace imn::pipeline {

// Work of the device goes on while an exception unwinds; declare this after all that the work uses.
class FinishOnUnwind {
 public:
  explicit FinishOnUnwind(DeviceBackend& backend) : backend_(backend) {}
  FinishOnUnwind(const FinishOnUnwind&) = delete;
  FinishOnUnwind& operator=(const FinishOnUnwind&) = delete;
  ~FinishOnUnwind() {
    try {
      backend_.finish();
    } catch (...) {  // an earlier exception is on its way; this one adds nothing
    }
  }

 private:
  DeviceBackend& backend_;
};

}  // namespace imn::pipeline
