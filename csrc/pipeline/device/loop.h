// The streaming loop on a device: read | copy | bin | preprocess | score, overlapped; images never leave the device.
#pragma once

#include <cstdint>
#include <span>

#include "core/image_stack.h"
#include "images/mz_window.h"
#include "io/plane.h"
#include "pipeline/common/progress.h"
#include "pipeline/common/results.h"
#include "pipeline/device/backend.h"
#include "pipeline/device/batches.h"
#include "pipeline/device/plan.h"

namespace imn::pipeline {

struct DeviceOptions : LoopControl {
  MemoryLimits limits;
};

// Where the time went, in seconds of wall clock, and what was done.
struct DeviceTimings {
  double read_s = 0;             // in the reader's thread, which overlaps with everything else
  double wait_for_data_s = 0;    // the host had nothing to give to the device
  double wait_for_device_s = 0;  // the host waited for the device
  double total_s = 0;
  std::int64_t strips = 0;  // 0 if the images came from the host
  std::int64_t images_per_strip = 0;
  std::int64_t batches_ahead = 0;  // prepared before the first of them was scored, at most
  std::int64_t chunks = 0;
  std::int64_t chunk_bytes = 0;
  std::int64_t device_chunks = 0;  // on the device at the same time; 0 where resident
  std::int64_t uploaded_bytes = 0;
  std::int64_t device_bytes = 0;  // that the loop took, besides those of the windows' tables and the network
  bool resident = false;          // the file was copied once, and all strips were binned from the copy
};

// Note [device loop]: a thread reads chunks (a range of pixels, a strip of m/z) into pinned memory; queue `copy` takes
// them to the device, queue `prepare` bins them. Once a strip of images is complete, it is preprocessed in the same
// queue, batch by batch, and each batch is scored in queue `score`, while the next strip is read, copied and binned:
// scoring starts after the first strip, whatever the size of the file. Buffers are used again when an event says that
// their reader is done: a pinned one after its copy, a chunk on the device after its binning, a batch after its
// scoring. One strip of images is enough, because `prepare` works in order.

// As score_windows() of the CPU: one image per window, results in the order of the windows.
DeviceTimings score_windows_on_device(const io::Plane& plane, std::span<const images::MzWindow> windows,
                                      const DeviceModel& model, DeviceBackend& backend, const DeviceOptions& options,
                                      const Results& results);

// The same for images in the host's memory.
DeviceTimings score_stack_on_device(const ImageStack& stack, const DeviceModel& model, DeviceBackend& backend,
                                    const DeviceOptions& options, const Results& results);

}  // namespace imn::pipeline
